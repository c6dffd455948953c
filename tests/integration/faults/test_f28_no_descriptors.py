import asyncio
import contextlib

import pytest

from tests.integration.faults.streams import open_streams, processor_time
from tests.rig.eventually import eventually
from tests.rig.server import XdsServer
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

LIMIT = 64
CONNECTIONS = 100


class Poor(XdsServer):
    """A server that may have 64 descriptors."""

    def command(self):
        return ["/bin/sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *super().command()]


@pytest.mark.slow
async def test_f28_no_descriptors(agent, fault_world):
    """Connections that say nothing take every descriptor; later they go."""
    async with fault_world(agent) as world:
        world.kind_of_server = Poor
        await world.start()
        writers = [
            (await asyncio.open_connection("127.0.0.1", world.server.port))[1] for _ in range(CONNECTIONS)
        ]
        await eventually(lambda: world.server.events("files.scarce"), within=15.0)
        used = processor_time(world.server)
        for _ in range(5):
            assert not world.failures
            await asyncio.sleep(1.0)
        world.figures["processor_share"] = round((processor_time(world.server) - used) / 5, 2)
        assert world.figures["processor_share"] < 0.5
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await eventually(lambda: world.server.events("files.enough"), within=30.0)
        assert await open_streams(world.server) == 1
        assert not world.server.events("stream.closed")
        async with XdsStream(world.server.address, "delta") as stream:
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="late"))
            assert (await stream.receive(within=30.0)).resources
        await world.converges(within=30.0)
