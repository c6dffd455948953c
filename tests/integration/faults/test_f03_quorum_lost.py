import pytest

from tests.integration.faults.durations import LONG


@pytest.mark.parametrize("left", ["leader", pytest.param("follower", marks=pytest.mark.slow)])
async def test_f03_quorum_lost(cluster, fault_world, left):
    async with fault_world(cluster.client) as world:
        # A poll that is held tells nothing of the leader until its wait is over.
        await world.start({"consul": {"wait": "5s"}})
        leader, (one, other) = await cluster.leader(), await cluster.followers()
        paused = (one, other) if left == "leader" else (leader, one)
        sent = await world.server.sent()
        for server in paused:
            server.pause()
        await world.holds(LONG)
        await world.until_state("stale")
        assert await world.server.sent() == sent
        for server in paused:
            server.resume()
        await world.converges(within=10.0)
