import pytest

from tests.rig.eventually import eventually

MODIFIED = "cluster_manager.cluster_modified"
WARMING = "cluster_manager.warming_clusters"


@pytest.mark.parametrize("mode", ["delta", pytest.param("sotw", marks=pytest.mark.slow)])
async def test_f41_cluster_changed(agent, fault_world, mode):
    async with fault_world(agent) as world:
        world.mode = mode
        await world.start()
        for seconds in (4, 3, 2):
            before = await world.envoy.stat(MODIFIED)
            services = {"user": {"connect_timeout": f"{seconds}s"}}
            world.server.write_settings(world.settings({"services": services}))
            await eventually(lambda: world.envoy.stat(MODIFIED), before.__lt__, within=10.0)
            await eventually(lambda: world.envoy.stat(WARMING), (0).__eq__, within=1.0)
            await world.holds(0.5)
        assert await world.envoy.waits() == []
        await world.converges(within=10.0)
