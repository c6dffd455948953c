import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest, LoadStatsResponse

from tests.rig.eventually import eventually
from tests.runtime.test_load import part, stats, totals
from xds_server.runtime.load import Loads
from xds_server.transport import lrs
from xds_server.transport.lrs import SERVICE, LoadReporting

METHOD = f"/{SERVICE}/StreamLoadStats"
FIRST = LoadStatsRequest(node=Node(id="edge-1"))
INTERVAL = 0.25


class Rig:
    """The service alone on a server, and streams to it."""

    def __init__(self, channel, loads, service):
        self.channel = channel
        self.loads = loads
        self.service = service

    def stream(self):
        return self.channel.stream_stream(
            METHOD,
            request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
            response_deserializer=LoadStatsResponse.FromString,
        )()

    async def begin(self, first=FIRST):
        stream = self.stream()
        await stream.write(first)
        return stream, await stream.read()

    def totals(self):
        return totals(self.loads.view(0))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    loads = Loads()
    service = LoadReporting(loads, INTERVAL)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield Rig(channel, loads, service)
    await server.stop(None)


def report(*clusters):
    return LoadStatsRequest(cluster_stats=clusters)


async def ended(stream):
    """Wait for the end of a stream; give its status and sentence."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await stream.read() is not grpc.aio.EOF:
            pass
    return await stream.code(), await stream.details()


@pytest.mark.shows("P-121")
async def test_the_first_message_is_answered_by_what_to_report(rig):
    _, answer = await rig.begin()

    assert answer.send_all_clusters
    assert answer.load_reporting_interval.ToNanoseconds() == INTERVAL * 1e9
    assert not answer.report_endpoint_granularity


@pytest.mark.shows("P-121", "T-GR-09")
async def test_reports_are_added_up_and_not_answered(rig):
    stream, _ = await rig.begin()
    for _ in range(3):
        await stream.write(report(stats("user", part("a", issued=2), part("b", issued=1)), stats("web")))
    await eventually(rig.totals, {"edge-1 user a": 6, "edge-1 user b": 3}.__eq__)

    await stream.done_writing()

    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_who_sends_its_node_along_each_time_is_the_same_client(rig):
    stream, _ = await rig.begin()
    for node in ("edge-1", "edge-2"):
        await stream.write(
            LoadStatsRequest(node=Node(id=node), cluster_stats=[stats("user", part("a", issued=1))])
        )

    await eventually(rig.totals, {"edge-1 user a": 2}.__eq__)


async def test_a_first_message_may_be_a_report_as_well(rig):
    first = LoadStatsRequest(node=Node(id="edge-1"), cluster_stats=[stats("user", part("a", issued=1))])
    await rig.begin(first)

    assert rig.totals() == {"edge-1 user a": 1}


@pytest.mark.parametrize("how", ["cancel", "half-close"])
async def test_when_a_client_goes_nothing_is_in_progress_any_more(rig, how):
    stream, _ = await rig.begin()
    await stream.write(report(stats("user", part("a", issued=1, now=4))))
    await eventually(lambda: rig.loads.view(0).rows[0].in_progress, (4).__eq__)

    stream.cancel() if how == "cancel" else await stream.done_writing()

    await eventually(lambda: rig.loads.view(0).rows[0].in_progress, (0).__eq__)
    assert rig.totals() == {"edge-1 user a": 1}


async def test_a_client_that_goes_without_a_word_leaves_nothing(rig):
    stream = rig.stream()
    await stream.done_writing()

    assert await ended(stream) == (grpc.StatusCode.OK, "")


@pytest.mark.shows("P-008")
async def test_a_client_that_does_not_say_who_it_is_is_refused(rig):
    stream = rig.stream()
    await stream.write(LoadStatsRequest())

    code, details = await ended(stream)

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "node.id" in details


@pytest.mark.parametrize("when", ["first", "later"])
async def test_what_is_no_report_ends_the_stream(rig, when):
    stream = rig.stream() if when == "first" else (await rig.begin())[0]
    await stream.write(b"\xff\xff\xff")

    assert await ended(stream) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the message is not a LoadStatsRequest",
    )


@pytest.mark.shows("P-117")
async def test_a_report_that_is_too_long_ends_the_stream(rig, monkeypatch):
    monkeypatch.setattr(lrs, "MOST_BYTES", 100)
    stream, _ = await rig.begin()
    await stream.write(report(*(stats(f"c{n}", part("a", issued=1)) for n in range(5))))

    assert await ended(stream) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the report is longer than 100 bytes",
    )


@pytest.mark.shows("P-012")
async def test_a_server_that_stops_sends_its_clients_away(rig):
    stream, _ = await rig.begin()
    rig.service.stop()

    async with asyncio.timeout(1):
        assert await ended(stream) == (grpc.StatusCode.UNAVAILABLE, "this server is shutting down")
