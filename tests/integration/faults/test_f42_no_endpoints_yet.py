import asyncio

import pytest

from tests.rig.eventually import eventually

WARMING = "cluster_manager.warming_clusters"


@pytest.mark.slow
async def test_f42_no_endpoints_yet(agent, fault_world, mode):
    async with fault_world(agent) as world:
        world.mode = mode
        await world.start()
        # All there is of it at first is an instance whose address is refused.
        service = {"ID": "late-0", "Service": "late", "Address": "169.254.1.1", "Port": 80}
        await agent.put("/v1/catalog/register", {"Node": "far", "Address": "127.0.0.1", "Service": service})
        loop = asyncio.get_running_loop()
        await eventually(world.envoy.clusters, lambda clusters: "late" in clusters, within=10.0)
        known = loop.time()
        await eventually(lambda: world.envoy.stat(WARMING), (0).__eq__, within=1.0)
        world.figures["warm_after_s"] = round(loop.time() - known, 2)
        answer = await world.get("late")
        assert answer.status == 503
        assert answer.seconds < 1.0
        assert await world.envoy.hosts("late") == {}
        await world.instance("late", "late-1")
        await world.serving("late", "late-1")
        assert await world.envoy.waits() == []
        await world.converges(within=10.0)
