import asyncio

import pytest

from tests.rig.hooked_server import HookedServer

BLOCKED = 5.0


@pytest.mark.slow
async def test_f26_loop_blocked(agent, fault_world):
    """Nothing of the server runs for 5 s; every stream and every request to Envoy survives it."""
    async with fault_world(agent) as world:
        world.kind_of_server = HookedServer
        await world.start()
        streams = (await world.server.metrics()).total("xds_streams")
        began = asyncio.get_running_loop().time()
        await world.server.do("block", seconds=BLOCKED)
        while asyncio.get_running_loop().time() < began + BLOCKED:
            await world.holds(0.5)
        await world.converges(within=10.0)
        metrics = await world.server.metrics()
        assert metrics.total("xds_streams") == streams
        assert metrics.total("xds_loop_lag_worst_seconds") > BLOCKED - 1
        (blocked,) = world.server.events("loop.blocked")
        assert ".block:" in blocked["stack"]
        assert 2.0 <= blocked["seconds"] < BLOCKED
        (unblocked,) = world.server.events("loop.unblocked")
        world.figures["lag_s"] = unblocked["seconds"]
        assert not world.server.events("stream.closed")
