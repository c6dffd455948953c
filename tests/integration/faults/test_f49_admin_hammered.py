import asyncio
import contextlib

import aiohttp
import pytest

LOOPS = 20
STUCK = 20


@pytest.mark.slow
async def test_f49_admin_hammered(agent, fault_world):
    """Twenty clients ask for /metrics as fast as they can, twenty more ask and never read."""
    async with fault_world(agent) as world:
        await world.start()
        calm = await world.converges(within=10.0)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(STUCK):
                await stack.enter_async_context(_never_reads(world.server.admin_port))
            asked = await stack.enter_async_context(_hammering(world.server.admin_port))
            await world.holds(3.0)
            busy = await world.converges(within=10.0)
            world.figures["scrapes"] = len(asked)
            assert await world.server.status("/readyz") == 200
        metrics = await world.server.metrics()
        world.figures["calm_s"], world.figures["busy_s"] = round(calm, 3), round(busy, 3)
        world.figures["lag_s"] = round(metrics.total("xds_loop_lag_worst_seconds"), 3)
        assert busy < calm + 2.0
        assert not world.server.events("loop.blocked")


@contextlib.asynccontextmanager
async def _hammering(port):
    asked = []

    async def ask(session):
        while True:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                asked.append(len(await answer.read()))

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(ask(session)) for _ in range(LOOPS)]
        try:
            yield asked
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _never_reads(port):
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.transport.pause_reading()
    for _ in range(1000):
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    try:
        yield
    finally:
        writer.transport.abort()
