import asyncio
import time

from tests.integration.faults.streams import OWN_CONNECTION, memory, streams_become
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

HERD = 200


async def test_f35_herd(agent, fault_world):
    """200 clients come at once, each on a connection of its own; the Envoy that is there notices nothing."""
    async with fault_world(agent) as world:
        await world.start()
        before, began = memory(world.server), time.monotonic()
        herd = [Member(world, number) for number in range(HERD)]
        try:
            await asyncio.gather(*(one.is_served() for one in herd))
            world.figures["all_served_after_s"] = round(time.monotonic() - began, 2)
            assert world.figures["all_served_after_s"] < 60.0
            world.figures["memory_growth_mb"] = round(memory(world.server) - before, 1)
            assert world.figures["memory_growth_mb"] < 150.0
            metrics = await world.server.metrics()
            assert metrics.total("xds_streams_not_admitted_total") == 0
            assert metrics.total("xds_streams_refused_total") == 0
            await world.holds(1.0)
            await world.converges(within=10.0)
        finally:
            await asyncio.gather(*(one.leave() for one in herd))
        await streams_become(world.server, 1, within=10.0)


class Member:
    """One of the herd."""

    def __init__(self, world, number):
        self._stream = XdsStream(world.server.address, "delta", options=OWN_CONNECTION)
        self._node = f"herd-{number}"

    async def is_served(self):
        await self._stream.__aenter__()
        await self._stream.send(self._stream.request(type_url=TypeUrl.CLUSTER, node=self._node))
        assert len((await self._stream.receive(within=60.0)).resources) == 3

    async def leave(self):
        await self._stream.__aexit__(None, None, None)
