"""How fast a client may talk, and how long it may take to answer."""

import asyncio
import contextlib
import time

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from tests.protocol.resources import CDS, EDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, AdsClient, edge
from tests.transport.serving import sample, serving
from xds_server.transport import StreamLimits
from xds_server.transport.flow import Flow, FlowLimits
from xds_server.transport.unanswered import AnswerLimits

STATUS = grpc.StatusCode
LIMITS = FlowLimits(burst=10, rate=5.0, patience=4.0)


@pytest.fixture(params=METHODS)
def variant(request):
    return request.param


@pytest.mark.shows("P-122")
def test_a_burst_goes_through_and_what_follows_is_paced():
    flow = Flow(LIMITS, 100.0)

    assert [flow.take(100.0) for _ in range(12)] == [0.0] * 10 + [0.2, 0.2]
    assert not flow.floods(100.0)


@pytest.mark.shows("P-122")
def test_who_keeps_to_the_rate_is_never_slowed_down():
    flow = Flow(LIMITS, 0.0)

    assert not any(flow.take(number / 5) for number in range(1000))


@pytest.mark.shows("P-122")
def test_who_goes_on_floods_and_who_was_quiet_does_not():
    flow = Flow(LIMITS, 0.0)
    for _ in range(12):
        flow.take(0.0)
    assert not flow.floods(3.9)
    assert flow.floods(4.1)

    flow.take(10.0)

    assert not flow.floods(10.0)


@pytest.mark.shows("P-122")
async def test_who_talks_too_fast_is_slowed_down_and_ended_if_it_goes_on(variant, caplog):
    limits = StreamLimits(flow=FlowLimits(burst=50, rate=50.0, patience=1.0))
    async with (
        serving(Inputs(catalog(user=8001)), limits=limits) as server,
        AdsClient(server.port, variant) as other,
        AdsClient(server.port, variant) as hasty,
    ):
        await other.subscribe(CDS).expect(CDS, "user").ack(CDS)
        before, started = requests(), time.monotonic()
        flood = asyncio.create_task(_flood(hasty, variant))

        # What the client itself sees may be its own write that fails, so the server's word counts.
        (refusal,) = await eventually(
            lambda: [one.fields for one in caplog.records if one.message == "stream.refused"], within=30.0
        )

        took = time.monotonic() - started
        await flood
        assert refusal["reason"].startswith("the client sent more than 50 requests a second for 1 s;")
        # The burst, the rate, and what may wait; it wrote thousands.
        assert requests() - before <= 50 + 50 * took + 20
        # Each rejection is counted, and the log tells of the first of them, and of some now and then.
        told = [one for one in caplog.records if one.message == "xds.nack"]
        assert 1 <= len(told) <= 20 + took
        await other.subscribe(EDS, "user").expect(EDS, "user")


async def _flood(client, variant):
    """Say as fast as it goes what costs the most: that a response which never was is rejected."""
    request = {"sotw": DiscoveryRequest, "delta": DeltaDiscoveryRequest}[variant](
        type_url=CDS, node=edge(), response_nonce="no such"
    )
    request.error_detail.message = "no good"
    payload = request.SerializeToString()
    with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
        while True:
            await client.call.write(payload)


def requests():
    return sum(sample("xds_requests_total", variant=one, type="Cluster") for one in METHODS)


@pytest.mark.shows("P-123", "P-034")
async def test_a_client_that_never_answers_is_sent_nothing_more_and_ended(variant):
    limits = StreamLimits(answers=AnswerLimits(seconds=2.0))
    async with (
        serving(Inputs(catalog(user=8001)), limits=limits) as server,
        AdsClient(server.port, variant) as other,
        AdsClient(server.port, variant) as silent,
    ):
        await other.subscribe(CDS).expect(CDS, "user").ack(CDS)
        await silent.subscribe(CDS).expect(CDS, "user")
        for number in range(5):
            server.inputs.catalog.publish(catalog(user=8001, order=8010 + number, **{f"new-{number}": 8100}))
            await other.hear(CDS)
            await other.ack(CDS)

        assert await silent.end() == (
            STATUS.DEADLINE_EXCEEDED,
            "the client did not answer a response of type Cluster for 2 s; let it connect again",
        )

        assert len(silent.received) == 1
        await eventually(lambda: server.server.slots == 1)


@pytest.mark.shows("P-123")
async def test_who_answers_late_stays(variant):
    limits = StreamLimits(answers=AnswerLimits(seconds=1.0))
    async with (
        serving(Inputs(catalog(user=8001)), limits=limits) as server,
        AdsClient(server.port, variant) as client,
    ):
        await client.subscribe(CDS).expect(CDS, "user")
        for number in range(4):
            await asyncio.sleep(0.5)
            await client.ack(CDS)
            server.inputs.catalog.publish(catalog(user=8001, **{f"new-{number}": 8100}))
            await client.hear(CDS)


@pytest.mark.shows("P-123")
async def test_what_may_be_unanswered_is_bounded_in_number():
    """Each question is answered, whatever was answered before; so who only asks could fill the memory."""
    limits = StreamLimits(answers=AnswerLimits(seconds=2.0, responses=10))
    services = {f"service-{number}": 8000 + number for number in range(20)}
    async with (
        serving(Inputs(catalog(**services)), limits=limits) as server,
        AdsClient(server.port, "delta") as greedy,
    ):
        for name in services:
            await greedy.subscribe(EDS, name)
        code, details = await greedy.end()
    assert code is STATUS.DEADLINE_EXCEEDED
    assert "did not answer 10 responses of type ClusterLoadAssignment" in details
