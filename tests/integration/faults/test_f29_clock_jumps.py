import pytest

from tests.integration.faults.durations import SHORT
from tests.rig.hooked_server import HookedServer

DAY = 86_400.0


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [DAY, -DAY])
async def test_f29_clock_jumps(agent, fault_world, ahead):
    """The wall clock of xds-server is set by a day: no stream ends, nothing expires, nobody lags."""
    async with fault_world(agent) as world:
        world.kind_of_server = HookedServer
        await world.start()
        sent = await world.server.sent()
        await world.server.do("set_clock", ahead=ahead)
        await world.holds(SHORT)
        assert await world.server.sent() == sent
        assert await world.state() == "live"
        metrics = await world.server.metrics()
        assert metrics.total("xds_lagging_clients") == 0
        assert metrics.total("xds_client_lag_seconds_max") < 60
        await world.converges(within=10.0)
        assert not world.server.events("stream.closed")
        assert not await world.server.problems()
