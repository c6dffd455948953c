import pytest

from tests.rig.eventually import eventually

KEPT = 5.0
REASON = "no service with this host name"


@pytest.mark.slow
async def test_f44_routed_service_leaves(agent, fault_world, mode):
    async with fault_world(agent) as world:
        world.mode = mode
        await world.start({"guards": {"remove_clusters_after": f"{KEPT:g}s"}})
        leaving = await world.instance("leaving", "leaving-1")
        await world.serving("leaving", "leaving-1")
        async with world.load("leaving", workers=2, pause=0.005) as load:
            await load.more(50)
            before = await world.envoy.stat("cluster_manager.cluster_added")
            await agent.deregister("leaving-1")
            await load.until(lambda: load.answers[-1].status == 503)
            # Everything is answered, with the reason.
            await load.until(lambda: REASON in load.answers[-1].body)
            assert await world.envoy.hosts("leaving") == {}
            assert "leaving" in await world.envoy.clusters()
            # It is back before its cluster has gone, which has nothing to warm.
            await world.register("leaving", leaving)
            await load.until(lambda: load.answers[-1].status == 200)
            assert await world.envoy.stat("cluster_manager.cluster_added") == before
            await agent.deregister("leaving-1")
            await eventually(world.envoy.clusters, lambda found: "leaving" not in found, within=KEPT + 15.0)
            without = await load.more(50)
        assert {answer.status for answer in load.answers} == {200, 503}
        # Whether there is a cluster of that name or not, the answer is the same.
        assert all(REASON in answer.body for answer in without)
        await world.converges(within=10.0)
