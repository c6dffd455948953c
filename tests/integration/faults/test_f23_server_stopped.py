import asyncio
import signal

import pytest

from tests.integration.faults.durations import LONG
from tests.integration.faults.streams import open_streams, pings, start_replicas, streams_become


@pytest.mark.slow
async def test_f23_server_stopped(agent, fault_world):
    """The replica in use stands still, with its connections open, and goes on later with what it knew."""
    async with fault_world(agent) as world:
        active, other = await start_replicas(world, amend=pings(2))
        world.server = other
        active.process.signal(signal.SIGSTOP)
        stopped = asyncio.get_running_loop().time()
        try:
            await streams_become(other, 1, within=20.0)
            world.figures["taken_over_after_s"] = round(asyncio.get_running_loop().time() - stopped, 1)
            await world.converges(within=10.0)
            fresh = await world.envoy.hosts("user")
            await world.holds(max(1.0, stopped + LONG - asyncio.get_running_loop().time()))
        finally:
            active.process.signal(signal.SIGCONT)
        # What it still believes is older; it must not reach the Envoy, nor cost anything.
        await world.holds(5.0)
        assert set(await world.envoy.hosts("user")) == set(fresh)
        assert await open_streams(other) == 1
        await streams_become(active, 0, within=45.0)
        await world.converges(within=10.0)
