"""The tap lets everything through, and the recorder understands what it heard."""

import asyncio
import contextlib
import socket
import struct

import grpc
import pytest

from tests.protocol.resources import CDS, EDS
from tests.rig.conversation import Rule
from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.recorder import Recorder
from tests.rig.xds_messages import Request, Response
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, AdsClient
from tests.transport.serving import serving


@pytest.fixture
async def recorder():
    async with Recorder() as recorder:
        yield recorder


@contextlib.asynccontextmanager
async def peer():
    """A TCP server: its address, and the connections it was brought."""
    brought = asyncio.Queue()

    async def take(reader, writer):
        await brought.put((reader, writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2], brought
    finally:
        server.close()


async def connected(recorder):
    """Give both ends of a connection through a tap, and what closes them."""
    stack = contextlib.AsyncExitStack()
    address, brought = await stack.enter_async_context(peer())
    reader, writer = await asyncio.open_connection(*await recorder.tap(address))
    far_reader, far_writer = await brought.get()
    for one in (writer, far_writer):
        stack.callback(one.close)
    return (reader, writer), (far_reader, far_writer), stack


def reset(writer):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def test_a_half_close_leaves_the_other_way_open(recorder):
    (reader, writer), (far_reader, far_writer), stack = await connected(recorder)
    async with stack:
        writer.write(b"question")
        writer.write_eof()
        assert await far_reader.read() == b"question"
        far_writer.write(b"answer")
        far_writer.close()
        assert await reader.read() == b"answer"
    assert [(one.to_server, one.data) for one in recorder.said if one.data] == [
        (True, b"question"),
        (False, b"answer"),
    ]


@pytest.mark.parametrize("by_server", [True, False], ids=["the server", "the client"])
async def test_a_reset_is_a_reset(recorder, by_server):
    near, far, stack = await connected(recorder)
    async with stack:
        (_, breaks), (hears, _) = (far, near) if by_server else (near, far)
        near[1].write(b"x")
        await far[0].read(1)
        reset(breaks)
        with pytest.raises(ConnectionResetError):
            await hears.read()


async def test_where_nobody_listens_a_connection_is_reset_until_somebody_does(recorder):
    port = free_port()
    address = await recorder.tap(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(*address)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()

    async def greet(_, writer):
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", port):
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b"hello"
        writer.close()


async def test_one_tap_for_one_server(recorder):
    assert await recorder.tap(("127.0.0.1", 1)) == await recorder.tap(("127.0.0.1", 1))
    assert await recorder.tap(("127.0.0.1", 1)) != await recorder.tap(("127.0.0.1", 2))


@pytest.mark.parametrize("variant", METHODS)
async def test_a_conversation_is_read(recorder, variant):
    async with serving(Inputs(catalog(user=8001))) as running:
        _, port = await recorder.tap(("127.0.0.1", running.port))
        async with AdsClient(port, variant) as client:
            await client.subscribe(CDS).expect(CDS, "user").ack(CDS)
            await client.subscribe(EDS, "user").expect(EDS, "user").nack(EDS, "no good")
            running.inputs.catalog.publish(catalog(user=8002))
            await client.expect(EDS, "user").ack(EDS)
            (stream,) = await eventually(recorder.streams, lambda found: len(found[0].events) == 8)
            assert stream.ended is None
        (stream,) = await eventually(recorder.streams, lambda found: found[0].ended)
    assert (stream.variant, stream.node) == (variant, "edge-1")
    assert [(type(one), one.type) for one in stream.events] == [
        (Request, CDS),
        (Response, CDS),
        (Request, CDS),
        *[(Request, EDS), (Response, EDS), (Request, EDS)],
        *[(Response, EDS), (Request, EDS)],
    ]
    assert [one.order for one in stream.events] == sorted(one.order for one in stream.events)
    _, clusters, *_, rejection, endpoints, accepted = stream.events
    assert list(clusters.items["user"].links) == [(EDS, "user")]
    assert (rejection.error, accepted.error, accepted.nonce) == ("no good", None, endpoints.nonce)
    assert recorder.violations() == []


@pytest.mark.parametrize("variant", METHODS)
async def test_what_breaks_a_rule_is_told_unless_it_is_excused(recorder, variant):
    async with serving(Inputs(catalog(user=8001))) as running:
        _, port = await recorder.tap(("127.0.0.1", running.port))
        async with AdsClient(port, variant) as client:
            await client.subscribe(CDS).expect(CDS, "user")
            await asyncio.sleep(1.1)
            (told,) = recorder.violations()
            assert "Cluster 1.1 was not answered" in told
            assert "Cluster 1.1 {'user'" in recorder.transcript()
            recorder.excuse("this client never answers", Rule.ANSWERED)
            assert recorder.violations() == []


async def test_what_is_no_http2_is_told(recorder):
    (_, writer), (far_reader, _), stack = await connected(recorder)
    async with stack:
        writer.write(b"\x16\x03\x01\x02\0\x01")
        await far_reader.read(6)
        (told,) = recorder.violations()
    assert "NotHttp2Error" in told


async def test_other_streams_are_passed_over(recorder):
    async with serving(Inputs(catalog(user=8001))) as running:
        _, port = await recorder.tap(("127.0.0.1", running.port))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert await health(b"\x0a\0") == b"\x08\x01"
    assert recorder.said
    assert recorder.streams() == ()
    assert recorder.violations() == []
