import asyncio

import pytest

from tests.integration.faults.streams import streams_become
from tests.rig.fault_proxy import FaultProxy
from tests.rig.fault_world import SERVICES


@pytest.mark.slow
async def test_f51_bad_way(agent, fault_world):
    """The way between Envoy and server is reset, slow both ways, and cut in the middle of a message."""
    async with fault_world(agent) as world:
        await world.register_all()
        await world.start_server()
        async with FaultProxy(world.server.port) as way:
            await world.start_envoy(servers=[("127.0.0.1", way.port)])
            for service, names in SERVICES.items():
                await world.serving(service, *names)
            await world.begin()
            for _ in range(5):
                await way.reset()
                await world.holds(0.5)
            await streams_become(world.server, 1, within=30.0)
            await world.converges(within=10.0)

            way.delay = way.request_delay = 0.5
            await world.converges(within=15.0)
            way.delay = way.request_delay = 0.0

            for _ in range(3):
                # At so many bytes a second a response is never whole when the connection breaks.
                way.throttle = 100
                await world.instance("order", f"order-{asyncio.get_running_loop().time()}")
                await world.holds(1.0)
                await way.reset()
                way.throttle = 0
                await streams_become(world.server, 1, within=30.0)
            await world.converges(within=15.0)
