import asyncio
import signal

import pytest

from tests.integration.faults.streams import open_streams, streams_become
from tests.rig.eventually import eventually


@pytest.mark.slow
async def test_f30_signals(agent, fault_world):
    async with fault_world(agent) as world:
        loop = asyncio.get_running_loop()
        await world.start()

        world.server.process.signal(signal.SIGHUP)
        await eventually(lambda: world.server.events("settings.reloaded"), within=10.0)
        assert await open_streams(world.server) == 1
        assert not world.server.events("stream.closed")

        began = loop.time()
        assert await world.server.process.end(signal.SIGTERM) == 0
        world.figures["stopped_after_s"] = round(loop.time() - began, 1)
        assert world.figures["stopped_after_s"] < 15.0
        await world.holds(2.0)
        await world.server.start()
        await streams_become(world.server, 1, within=30.0)

        world.server.process.signal(signal.SIGTERM)
        await eventually(lambda: len(world.server.events("server.stopping")) == 2)
        assert await world.server.process.end(signal.SIGTERM) in (0, -signal.SIGTERM)
        await world.holds(1.0)
        await world.server.start()
        await streams_become(world.server, 1, within=30.0)
        await world.converges(within=10.0)
