import pytest

from tests.rig.eventually import eventually

HOLD = 6.0
# After a restore, a query that is held after a later index is answered only when its wait is over.
SETTINGS = {
    "consul": {"wait": "2s", "removal_hold": f"{HOLD:g}s"},
    "guards": {"remove_clusters_after": "0s"},
}


@pytest.mark.slow
async def test_f07_older_state_restored(agent, fault_world):
    async with fault_world(agent) as world:
        await world.start(SETTINGS)
        old = await agent.read("/v1/snapshot")
        # On a node without an agent, as an agent would register its own services again.
        late = await world.instance("late", register=False)
        service = {"ID": "late", "Service": "late", "Address": "127.0.0.1", "Port": late.port}
        await agent.put("/v1/catalog/register", {"Node": "far", "Address": "127.0.0.1", "Service": service})
        await world.serving("late", "late")
        await agent.put("/v1/snapshot", old)
        assert "late" not in await agent.get("/v1/catalog/services")
        async with world.load("late", workers=1, pause=0.02) as load:
            await world.until_state("frozen")
            await world.holds(HOLD / 2)
        assert not load.failures
        await eventually(world.envoy.clusters, lambda clusters: "late" not in clusters, within=HOLD + 10.0)
        await world.converges(within=10.0)
