import signal

import pytest

from tests.integration.faults.streams import open_streams, start_replicas, streams_become


@pytest.mark.slow
async def test_f31_rolling_restart(agent, fault_world):
    """Each of two replicas is stopped and started again; the Envoy goes from one to the other and back."""
    async with fault_world(agent) as world:
        replicas = await start_replicas(world)
        for leaving, staying in (replicas, replicas[::-1]):
            world.server = staying
            assert await open_streams(leaving) == 1
            assert await leaving.process.end(signal.SIGTERM) == 0
            await streams_become(staying, 1, within=20.0)
            await world.holds(1.0)
            await leaving.start()
            await world.holds(1.0)
        world.server = replicas[0]
        assert not any(server.events("stream.failed") for server in replicas)
        await world.converges(within=10.0)
        assert await world.envoy.waits() == []
