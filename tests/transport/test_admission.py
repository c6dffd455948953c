"""The cap on streams, and the pace of new ones."""

import asyncio
import contextlib
import time

import grpc
import pytest

from tests.protocol.resources import CDS, EDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, AdsClient, edge
from tests.transport.serving import sample, serving
from xds_server.transport import Caps, StreamLimits
from xds_server.transport.admission import Admission, CrowdedError, Origin, address_of

STATUS = grpc.StatusCode


@pytest.fixture(params=METHODS)
def variant(request):
    return request.param


@pytest.mark.shows("P-112", "T-ST-18")
async def test_a_stream_above_the_cap_is_refused_and_a_slot_is_free_once_one_has_closed(variant, caplog):
    async with serving(Inputs(catalog(user=8001)), limits=StreamLimits(caps=Caps(streams=2))) as server:
        async with AdsClient(server.port, variant) as first, AdsClient(server.port, variant) as second:
            await first.subscribe(CDS).expect(CDS, "user")
            await second.subscribe(CDS).expect(CDS, "user")
            async with AdsClient(server.port, variant) as third:
                code, details = await third.end()
            assert code is STATUS.RESOURCE_EXHAUSTED
            assert details.startswith("too many xDS streams: this server serves 2;")
            # The others are not touched.
            await first.ack(CDS).subscribe(EDS, "user").expect(EDS, "user")
        await eventually(lambda: server.server.slots == 0)
        async with AdsClient(server.port, variant) as third:
            await third.subscribe(CDS).expect(CDS, "user")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "stream.refused"
    ]


@pytest.mark.shows("P-112")
async def test_a_stream_that_says_nothing_holds_its_slot_for_a_while_only(variant):
    limits = StreamLimits(caps=Caps(streams=1), first_request=0.2)
    async with serving(Inputs(catalog(user=8001)), limits=limits) as server:
        async with AdsClient(server.port, variant) as silent:
            assert await silent.end() == (STATUS.DEADLINE_EXCEEDED, "no request came for 0.2 s")
        async with AdsClient(server.port, variant) as client:
            await client.subscribe(CDS).expect(CDS, "user")


@pytest.mark.shows("P-115")
async def test_new_streams_are_paced_and_open_ones_are_not(variant):
    limits = StreamLimits(rate=5)
    async with (
        serving(Inputs(catalog(user=8001)), limits=limits) as server,
        AdsClient(server.port, variant) as early,
        contextlib.AsyncExitStack() as stack,
    ):
        await early.subscribe(CDS).expect(CDS, "user")
        started = time.monotonic()
        crowd = [await stack.enter_async_context(AdsClient(server.port, variant)) for _ in range(12)]
        answers = [asyncio.ensure_future(_answered(client)) for client in crowd]
        # Four go at once with the rest of the burst; the others wait, and nobody waits behind them.
        await eventually(lambda: sum(answer.done() for answer in answers) >= 4)
        await early.ack(CDS).subscribe(EDS, "user").expect(EDS, "user")
        assert sum(answer.done() for answer in answers) < 12
        await asyncio.gather(*answers)
        assert time.monotonic() - started >= 1.0


async def _answered(client):
    await client.subscribe(CDS).expect(CDS, "user")


@pytest.mark.shows("P-115")
async def test_clients_that_give_up_take_no_turns():
    admission = Admission(caps=Caps(streams=10), rate=20)
    for _ in range(20):
        await admission.turn()
    hostile = [asyncio.create_task(admission.turn()) for _ in range(99)]
    await asyncio.sleep(0)
    for task in hostile:
        task.cancel()
    started = time.monotonic()

    await admission.turn()

    assert time.monotonic() - started < 1.0


@pytest.mark.shows("P-115")
async def test_a_queue_that_would_last_too_long_is_not_joined():
    admission = Admission(caps=Caps(streams=10), rate=2)
    for _ in range(2):
        await admission.turn()
    waiting = [asyncio.create_task(admission.turn()) for _ in range(10)]
    await asyncio.sleep(0)

    with pytest.raises(CrowdedError, match="try again in a few seconds"):
        await admission.turn()

    for task in waiting:
        task.cancel()


async def test_a_slot_is_given_back_whatever_happens():
    admission = Admission(caps=Caps(streams=1), rate=1)
    with contextlib.suppress(ZeroDivisionError), admission.slot(Origin()):
        assert admission.open == 1
        raise ZeroDivisionError
    assert admission.open == 0


@pytest.mark.shows("P-107", "P-115", "T-RC-13")
async def test_a_herd_that_reconnects_is_answered_in_time(record_property):
    services = {f"service-{number}": 8000 + number for number in range(20)}
    async with (
        serving(Inputs(catalog(**services))) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        started = time.monotonic()
        herd = [
            await stack.enter_async_context(AdsClient(server.port, "delta", node=edge(f"edge-{number}")))
            for number in range(300)
        ]
        await asyncio.gather(*(_complete(client, services) for client in herd))
        took = time.monotonic() - started

        assert len(server.fleet.sessions) == 300
        record_property("seconds", f"{took:.1f}")
        # gRPC and Envoy give up on a resource after 15 s; the work of the clients is in this time too.
        assert took < 15


async def _complete(client, services):
    await client.subscribe(CDS).expect(CDS, *services).ack(CDS)
    await client.subscribe(EDS, *services).expect(EDS, *services).ack(EDS)


@pytest.mark.shows("P-009")
async def test_one_connection_carries_a_stream_for_each_target_of_a_large_client(variant):
    """A gRPC process opens one for each of its targets; gRPC servers often allow a hundred at a time."""
    async with serving(Inputs(catalog(user=8001))) as server, contextlib.AsyncExitStack() as stack:
        for _ in range(120):
            client = await stack.enter_async_context(AdsClient(server.port, variant, options=()))
            await client.subscribe(CDS).expect(CDS, "user")
        assert len({session.peer for session in server.fleet.sessions}) == 1


@pytest.mark.shows("P-124")
async def test_one_address_does_not_take_all_slots(variant):
    """IPv4 and IPv6 loopback are two addresses; a proxy in front would be one."""
    limits = StreamLimits(caps=Caps(per_address=2))
    before = sample("xds_streams_not_admitted_total", reason="address")
    async with (
        serving(Inputs(catalog(user=8001)), limits=limits) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(2):
            client = await stack.enter_async_context(AdsClient(server.port, variant))
            await client.subscribe(CDS).expect(CDS, "user")
        async with AdsClient(server.port, variant) as third:
            code, details = await third.end()
        assert code is STATUS.RESOURCE_EXHAUSTED
        assert "from this address: 2 may be open" in details
        assert details.endswith("or raise xds.max_streams_per_address")
        assert sample("xds_streams_not_admitted_total", reason="address") == before + 1
        # Those that are open are served.
        await client.ack(CDS).subscribe(EDS, "user").expect(EDS, "user")


@pytest.mark.shows("P-124")
def test_one_certificate_does_not_take_all_slots():
    admission = Admission(caps=Caps(streams=10, per_address=10, per_identity=1), rate=1)
    shared = Origin(address="10.0.0.1", identity=frozenset({"edge-1"}))
    other = Origin(address="10.0.0.1", identity=frozenset({"edge-2"}))
    with admission.slot(shared), admission.slot(other), admission.slot(Origin()), admission.slot(Origin()):
        with pytest.raises(
            CrowdedError, match=r"certificate's names: 1 .* raise xds\.max_streams_per_identity"
        ):
            admission.slot(shared).__enter__()
        assert admission.open == 4
    with admission.slot(shared):
        assert admission.open == 1


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B::1%5D:4711", "[::1]"),
        ("ipv6:[fe80::1%25eth0]:4711", "[fe80::1%eth0]"),
        ("unix:/run/x.sock", ""),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_where_a_stream_comes_from(peer, address):
    assert address_of(peer) == address
