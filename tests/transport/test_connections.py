"""How connections are kept: pings, their age, and their end when the server stops."""

import asyncio
import contextlib
import time

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.protocol.resources import CDS
from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, SERVICE, AdsClient, edge
from tests.transport.serving import serving
from xds_server.transport import ConnectionOptions
from xds_server.transport.stream import Stream

STATUS = grpc.StatusCode


@pytest.fixture(params=METHODS)
def variant(request):
    return request.param


@pytest.mark.shows("P-114", "T-ST-20")
async def test_a_client_may_ping_as_often_as_it_likes():
    pings = [("grpc.keepalive_time_ms", 100), ("grpc.http2.max_pings_without_data", 0)]
    async with (
        serving(Inputs(catalog(user=8001))) as server,
        AdsClient(server.port, "delta", options=pings) as client,
    ):
        await client.subscribe(CDS).expect(CDS, "user").ack(CDS)
        (before,) = server.fleet.sessions
        # By gRPC's defaults the third ping without data would end the connection.
        await client.expect_nothing(2.0)
        server.inputs.catalog.publish(catalog(user=8001, order=8002))
        await client.expect(CDS, "order")
        assert server.fleet.sessions == (before,)


@pytest.mark.shows("P-114", "T-ST-21")
async def test_a_client_that_has_vanished_is_found_out(variant):
    connections = ConnectionOptions(keepalive_time=1.0, keepalive_timeout=1.0)
    async with (
        serving(Inputs(catalog(user=8001)), connections=connections) as server,
        FaultProxy(server.port) as proxy,
        AdsClient(proxy.port, variant) as client,
    ):
        await client.subscribe(CDS).expect(CDS, "user").ack(CDS)
        await asyncio.sleep(2.5)
        assert len(server.fleet.sessions) == 1, "a client that answers pings stays"

        proxy.frozen = True

        await eventually(lambda: server.fleet.sessions == (), within=4.0)
        await eventually(lambda: server.server.slots == 0)
        proxy.frozen = False


@pytest.mark.shows("P-113", "T-ST-19")
async def test_a_connection_ends_at_its_age_and_a_client_that_comes_back_is_sent_nothing():
    connections = ConnectionOptions(age=1.5, age_grace=0.2)
    async with serving(Inputs(catalog(user=8001)), connections=connections) as server:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            first = await opened(channel, {})
            (resource,) = (await heard(first)).resources
            started = time.monotonic()
            assert (await first.code(), await first.details()) == (STATUS.UNAVAILABLE, "max connection age")
            assert 1.0 < time.monotonic() - started < 3.0
            await eventually(lambda: server.fleet.sessions == ())

            second = await opened(channel, {resource.name: resource.version})
            back = time.monotonic()
            await eventually(lambda: server.fleet.sessions)
            assert time.monotonic() - back < 1.0
            # The first thing it hears of is a change.
            server.inputs.catalog.publish(catalog(user=8001, order=8002))
            answer = await heard(second)

            assert [one.name for one in answer.resources] == ["order"]
            assert not answer.removed_resources


async def opened(channel, versions):
    call = channel.stream_stream(SERVICE + METHODS["delta"])()
    request = DeltaDiscoveryRequest(type_url=CDS, node=edge(), initial_resource_versions=versions)
    await call.write(request.SerializeToString())
    return call


async def heard(call):
    client = AdsClient(0, "delta")
    client.calls["call"] = call
    return await client.hear()


async def enter(server, variant, stack, count):
    clients = [await stack.enter_async_context(AdsClient(server.port, variant)) for _ in range(count)]
    for client in clients:
        await client.subscribe(CDS).expect(CDS, "user").ack(CDS)
    return clients


@pytest.mark.shows("P-012", "T-ST-11")
async def test_a_stop_spreads_the_ends_of_the_streams_over_the_drain_time(variant, monkeypatch):
    ends, end = [], Stream.end

    def noted(stream, how):
        ends.append(time.monotonic())
        end(stream, how)

    monkeypatch.setattr(Stream, "end", noted)
    async with serving(Inputs(catalog(user=8001)), drain=0.5) as server, contextlib.AsyncExitStack() as stack:
        clients = await enter(server, variant, stack, 200)
        stopping = asyncio.create_task(server.server.stop(1.0))
        for client in clients:
            assert await client.end() == (STATUS.UNAVAILABLE, "this server is shutting down")

        # At 10 ms each they would take two seconds; they have half of one.
        first, middle, last = ends[0], ends[100], ends[199]
        assert 0.4 < last - first < 1.5
        assert middle - first > 0.2
        await stopping


@pytest.mark.shows("P-012", "T-ST-11")
async def test_a_server_that_stops_sends_its_clients_away(variant):
    """With few of them it takes no time."""
    async with serving(Inputs(catalog(user=8001))) as server, contextlib.AsyncExitStack() as stack:
        clients = await enter(server, variant, stack, 2)
        started = time.monotonic()
        stopping = asyncio.create_task(server.server.stop(1.0))
        for client in clients:
            assert await client.end() == (STATUS.UNAVAILABLE, "this server is shutting down")
        await stopping
        assert time.monotonic() - started < 0.5


@pytest.mark.shows("P-012")
async def test_while_it_drains_it_takes_no_streams_and_serves_those_that_are_open():
    async with serving(Inputs(catalog(user=8001)), drain=2.0) as server, contextlib.AsyncExitStack() as stack:
        clients = await enter(server, "delta", stack, 200)
        draining = asyncio.create_task(server.server.drain())
        await clients[0].end()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        async with AdsClient(server.port, "delta") as late:
            assert (await late.end())[0] is STATUS.UNAVAILABLE
        server.inputs.catalog.publish(catalog(user=8001, order=8002))
        await eventually(lambda: any(_has_order(session) for session in server.fleet.sessions))
        assert not draining.done()
        await draining
        await eventually(lambda: server.fleet.sessions == ())


def _has_order(session):
    return any(status.name == "order" and status.sent for status in session.machine.status())
