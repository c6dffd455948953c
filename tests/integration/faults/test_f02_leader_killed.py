import asyncio

import pytest

from tests.rig.eventually import eventually


@pytest.mark.slow
async def test_f02_leader_killed(cluster, fault_world):
    async with fault_world(cluster.client) as world:
        await world.start()
        sent = await world.server.sent()
        leader = await cluster.leader()
        killed = asyncio.get_running_loop().time()
        await leader.kill()
        while await cluster.leader() is leader:
            await world.unharmed()
        world.figures["elected_after_s"] = round(asyncio.get_running_loop().time() - killed, 2)
        await eventually(lambda: cluster.client.get("/v1/catalog/services"), within=10.0)
        await world.holds(1.0)
        assert await world.server.sent() == sent
        await world.converges(within=10.0, since=killed)
