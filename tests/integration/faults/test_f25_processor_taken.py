import asyncio
import contextlib
import sys

import pytest

from tests.integration.faults.durations import SHORT


@pytest.mark.slow
async def test_f25_processor_taken(agent, fault_world):
    """Two processes that compute without end take the processors: everything is later, and nothing else."""
    async with fault_world(agent) as world:
        await world.start()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(_computing())
            await world.holds(SHORT)
            assert await world.state() == "live"
            await world.converges(within=15.0)
        metrics = await world.server.metrics()
        world.figures["lag_s"] = round(metrics.total("xds_loop_lag_worst_seconds"), 3)
        assert metrics.total("xds_nacks_total") == 0
        assert not world.server.events("stream.closed")


@contextlib.asynccontextmanager
async def _computing():
    # It ends by itself, should nobody end it.
    program = "import time; end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    try:
        yield
    finally:
        process.kill()
        await process.wait()
