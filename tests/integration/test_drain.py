"""`xds-server serve` told to stop while many streams are open."""

import asyncio
import contextlib
import signal
import time

import grpc
import pytest

from tests.rig.eventually import eventually
from tests.rig.server import XdsServer
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration

CATALOG = "datacenter: dc1\nservices: {user: {instances: [{address: 127.0.0.1, port: 9101}]}}\n"


@pytest.fixture
async def server(tmp_path):
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    source = ("--catalog", str(tmp_path / "catalog.yaml"))
    async with XdsServer(tmp_path, source, {"xds": {"drain_time": "2s"}}) as server:
        yield server


async def opened(server, stack, count):
    own = [("grpc.use_local_subchannel_pool", 1)]
    streams = [XdsStream(server.address, "delta", options=own) for _ in range(count)]
    for stream in streams:
        await stack.enter_async_context(stream)
        await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="edge-1"))
        await stream.receive()
    return streams


async def ended(stream):
    assert await stream.refusal() == (grpc.StatusCode.UNAVAILABLE, "this server is shutting down")
    return time.monotonic()


@pytest.mark.shows("P-012", "T-ST-11")
async def test_the_ends_of_many_streams_are_spread_over_the_drain_time(server):
    async with contextlib.AsyncExitStack() as stack:
        streams = await opened(server, stack, 300)
        started = time.monotonic()
        stopping = asyncio.create_task(server.process.end(signal.SIGTERM))
        times = sorted(await asyncio.gather(*(ended(stream) for stream in streams)))

        assert await stopping == 0
        assert 1.5 < times[-1] - started < 6
        assert times[150] - times[0] > 0.3
        assert server.events("server.stopped")
        assert not server.events("stream.refused")


@pytest.mark.shows("P-012")
async def test_a_second_signal_ends_it_at_once(server):
    async with contextlib.AsyncExitStack() as stack:
        await opened(server, stack, 300)
        server.process.signal(signal.SIGTERM)
        await eventually(lambda: server.events("server.stopping"))
        started = time.monotonic()

        assert await server.process.end(signal.SIGTERM) == -signal.SIGTERM
        assert time.monotonic() - started < 1.0
        assert not server.events("server.stopped")
