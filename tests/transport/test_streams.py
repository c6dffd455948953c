"""The life of a stream, over real gRPC."""

import asyncio
import logging

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.protocol.resources import CDS, EDS, LDS, RDS, SDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import METHODS, SERVICE, AdsClient, edge
from tests.transport.serving import serving
from xds_server import telemetry
from xds_server.model.problem import Code
from xds_server.model.proxy import Group
from xds_server.model.secret import Secret, Secrets
from xds_server.runtime.pipeline import MAX_GROUPS
from xds_server.transport import StreamLimits
from xds_server.transport.node import MAX_NODE_ID
from xds_server.transport.server import PortTakenError, XdsServer, XdsServerOptions

REQUESTS = {"sotw": DiscoveryRequest, "delta": DeltaDiscoveryRequest}
STATUS = grpc.StatusCode


@pytest.fixture(params=METHODS)
def variant(request):
    return request.param


@pytest.fixture
async def server():
    async with serving(Inputs(catalog(user=8001))) as running:
        yield running


def sample(name, **labels):
    return telemetry.REGISTRY.get_sample_value(name, labels) or 0.0


async def streams_end(variant):
    await eventually(lambda: sample("xds_streams", variant=variant) == 0)


async def test_a_conversation(server, variant):
    """T-ST-03, P-001, P-005: the node of the first request counts for all of them."""
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user").subscribe(EDS, "user").expect(EDS, "user")
        await client.ack(EDS).ack(CDS).subscribe(LDS).expect(LDS, "default").ack(LDS)
        await client.subscribe(RDS, "default").expect(RDS, "default").ack(RDS).expect_nothing()

        server.inputs.catalog.publish(catalog(user=8002))

        await client.expect(EDS, "user").ack(EDS).expect_nothing()


async def test_requests_and_responses_are_counted(server, variant):
    def counted():
        names = ("xds_requests_total", "xds_responses_total", "xds_response_bytes_total")
        return [sample(name, variant=variant, type="Cluster") for name in names]

    before = counted()
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user")
        assert sample("xds_streams", variant=variant) == 1
        await client.ack(CDS)
        (message,) = client.received

        size = message.ByteSize()
        await eventually(lambda: counted() == [before[0] + 2, before[1] + 1, before[2] + size])
    await streams_end(variant)


async def test_a_request_without_a_type_ends_the_stream(server, variant):
    """T-ST-01, P-003."""
    async with AdsClient(server.port, variant) as client:
        assert (await (await client.subscribe("")).end())[0] is STATUS.INVALID_ARGUMENT
        assert "type_url" in await client.call.details()


async def test_so_does_a_later_one(server, variant):
    """T-ST-01: with a status, not by accident."""
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user").subscribe("")

        assert (await client.end())[0] is STATUS.INVALID_ARGUMENT
    await streams_end(variant)


@pytest.mark.parametrize("node", [Node(), Node(cluster="edge"), edge("x" * (MAX_NODE_ID + 1))])
async def test_a_client_that_does_not_say_who_it_is_is_refused(server, variant, node):
    """T-ST-02, P-008."""
    async with AdsClient(server.port, variant, node=node) as client:
        code, details = await (await client.subscribe(CDS)).end()

    assert code is STATUS.INVALID_ARGUMENT
    assert "node.id" in details


async def test_a_node_with_every_request_changes_nothing(server, variant):
    """T-ST-04, P-006."""
    node = edge(ballast="x" * 60_000)
    async with AdsClient(server.port, variant, node=node, node_always=True) as client:
        await client.subscribe(CDS).expect(CDS, "user")
        for _ in range(200):
            client.ack(CDS)
        await client.subscribe(EDS, "user").expect(EDS, "user")


async def test_a_node_that_changes_counts_as_it_was_first(server, variant):
    """P-007: another admin port would be another group."""
    server.inputs.catalog.publish(catalog(user=8001, admin=19000))
    async with AdsClient(server.port, variant, node=edge(envoy_admin_port=19000)) as client:
        await client.subscribe(EDS, "admin")
        assert client.contents(await client.hear()) == {"admin": ""}
        client._node = edge("another", envoy_admin_port=1)
        await client.ack(EDS).subscribe(CDS).expect(CDS, "admin", "user")


async def test_the_admin_port_a_node_tells_is_never_an_endpoint(server, variant):
    server.inputs.catalog.publish(catalog(user=8001, admin=19000))
    await eventually(lambda: len(server.inputs.pipeline.snapshot.value.sets[CDS].by_name) == 2)
    async with (
        AdsClient(server.port, variant, node=edge("a", envoy_admin_port=19000)) as one,
        AdsClient(server.port, variant, node=edge("b")) as other,
    ):
        await one.subscribe(EDS, "admin")
        await other.subscribe(EDS, "admin")
        sizes = [len((await client.hear()).SerializeToString()) for client in (one, other)]

        assert sizes[0] < sizes[1]
        with server.inputs.pipeline.join(Group(admin_port=19000)) as snapshots:
            assert [found.code for found in snapshots.value.problems] == [Code.ENDPOINT_PORT_DENIED]


async def test_a_new_stream_of_the_same_node_does_not_end_the_old_nor_the_other_way_round(server, variant):
    """T-ST-05, P-009."""
    async with AdsClient(server.port, variant) as new:
        async with AdsClient(server.port, variant) as old:
            await old.subscribe(CDS).expect(CDS, "user")
            await new.subscribe(CDS).expect(CDS, "user").ack(CDS)
            await old.ack(CDS).expect_nothing()
        await eventually(lambda: sample("xds_streams", variant=variant) == 1)
        server.inputs.catalog.publish(catalog(user=8001, order=8002))

        await new.expect(CDS, *(["user"] if variant == "sotw" else []), "order")


async def test_many_streams_of_one_node_get_what_each_asked_for(server, variant):
    """T-ST-06, P-004."""
    names = [f"service-{number}" for number in range(10)]
    server.inputs.catalog.publish(catalog(**{name: 8000 + n for n, name in enumerate(names)}))
    await eventually(lambda: server.inputs.pipeline.snapshot.value.resource(EDS, names[0]))
    clients = [AdsClient(server.port, variant) for _ in names]
    for client, name in zip(clients, names, strict=True):
        async with client:
            await client.subscribe(EDS, name).expect(EDS, name).ack(EDS)
    await streams_end(variant)


async def test_a_client_that_is_gone_leaves_nothing(server, variant, caplog):
    """T-ST-07, T-ST-09, P-010: streams that break at any point, also in the middle of a large response."""
    server.inputs.secrets.publish(big_secret())
    await eventually(lambda: server.inputs.pipeline.snapshot.value.resource(SDS, "big:ca"))
    tasks = len(asyncio.all_tasks())
    for asked in ((CDS,), (SDS, "big:ca"), ()):
        for _ in range(5):
            async with AdsClient(server.port, variant) as client:
                if asked:
                    await client.subscribe(*asked)
                    await eventually(lambda: sample("xds_streams", variant=variant) == 1)
    await streams_end(variant)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def big_secret():
    return Secrets(by_name={"big": Secret(name="big", trusted_ca=b"x" * 12_000_000)})


async def test_a_client_that_is_done_ends_the_stream_well(server, variant):
    """T-ST-08."""
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user").half_close()

        assert (await client.end())[0] is STATUS.OK
    async with AdsClient(server.port, variant) as silent:
        assert (await (await silent.half_close()).end())[0] is STATUS.OK
    await streams_end(variant)


async def test_a_server_that_stops_sends_its_clients_away(variant):
    """T-ST-11, P-012."""
    async with serving(Inputs(catalog(user=8001))) as server:
        clients = [AdsClient(server.port, variant) for _ in range(20)]
        for client in clients:
            await client.__aenter__()
            await client.subscribe(CDS).expect(CDS, "user")
        loop = asyncio.get_running_loop()
        started = loop.time()

        stopping = asyncio.create_task(server.server.stop(1.0))
        ends = [await client.end() for client in clients]
        took = loop.time() - started

        assert {code for code, _ in ends} == {STATUS.UNAVAILABLE}
        assert ends[0][1] == "this server is shutting down"
        assert took < 1.0
        await stopping
        for client in clients:
            await client.__aexit__(None, None, None)


async def test_a_type_that_is_not_served_costs_nothing(server, variant):
    """T-ST-12, P-011."""
    async with AdsClient(server.port, variant) as client:
        await client.subscribe("type.googleapis.com/no.such.Type", "x").subscribe(CDS).expect(CDS, "user")
    assert sample("xds_requests_total", variant=variant, type="other") >= 1


async def test_a_field_from_the_future_is_passed_over(server, variant):
    """P-017."""
    request = REQUESTS[variant](type_url=CDS, node=edge()).SerializeToString()
    field_2000 = b"\x82\x7d\x03abc"
    async with AdsClient(server.port, variant) as client:
        await client.say(request + field_2000).expect(CDS, "user")


async def test_before_the_first_sync_a_stream_waits_and_is_then_served(variant):
    """T-ST-17, P-013."""
    async with serving(Inputs()) as server, AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect_nothing()
        server.inputs.catalog.publish(catalog(user=8001))

        await client.expect(CDS, "user")


async def test_without_a_sync_a_stream_is_refused_and_never_empty(variant, caplog):
    """T-ST-17, P-013."""
    limits = StreamLimits(first_snapshot=0.1)
    async with serving(Inputs(), limits=limits) as server, AdsClient(server.port, variant) as client:
        code, details = await (await client.subscribe(CDS)).end()

    assert (code, client.received) == (STATUS.UNAVAILABLE, [])
    assert "not read yet" in details
    assert [record.message for record in caplog.records] == ["stream.refused"]


async def test_too_many_kinds_of_proxies(server):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xds_server.runtime.pipeline.MAX_GROUPS", 1)
        async with AdsClient(server.port, "delta", node=edge(envoy_admin_port=19000)) as client:
            code, _ = await (await client.subscribe(CDS)).end()

    assert MAX_GROUPS > 1
    assert code is STATUS.RESOURCE_EXHAUSTED


async def test_a_client_that_does_not_read_is_left(variant):
    """T-LM-03: the others notice nothing."""
    limits = StreamLimits(write=0.3)
    async with serving(Inputs(catalog(user=8001)), limits=limits) as server:
        server.inputs.secrets.publish(big_secret())
        await eventually(lambda: server.inputs.pipeline.snapshot.value.resource(SDS, "big:ca"))
        async with AdsClient(server.port, variant) as slow, AdsClient(server.port, variant) as other:
            await slow.subscribe(SDS, "big:ca")
            await other.subscribe(CDS).expect(CDS, "user").ack(CDS)
            # The metric counts the other stream alone once the slow one is ended.
            await eventually(lambda: sample("xds_streams", variant=variant) == 1)
            server.inputs.catalog.publish(catalog(user=8001, order=8002))
            await other.expect(CDS, *(["user"] if variant == "sotw" else []), "order")

            code, details = await slow.end()
            assert code is STATUS.RESOURCE_EXHAUSTED
            assert details == "the client took no response for 0.3 s"


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x22\x03\xff\xfe\xfd"])
@pytest.mark.parametrize("first", [True, False])
async def test_garbage_ends_its_stream_alone(server, variant, garbage, first):
    """T-LM-05: bytes that are no message, and a type that is no text."""
    async with AdsClient(server.port, variant) as client, AdsClient(server.port, variant) as other:
        await other.subscribe(CDS).expect(CDS, "user")
        if not first:
            await client.subscribe(CDS).expect(CDS, "user")
        code, details = await (await client.say(garbage)).end()

        assert code is STATUS.INVALID_ARGUMENT
        assert REQUESTS[variant].DESCRIPTOR.name in details
        await other.subscribe(EDS, "user").expect(EDS, "user")


async def test_a_rejection_is_logged_and_counted(server, variant, caplog):
    """P-031."""
    before = sample("xds_nacks_total", type="Cluster")
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user").nack(CDS, "bad\nline").expect_nothing()
        await eventually(lambda: sample("xds_nacks_total", type="Cluster") == before + 1)

    (record,) = [record for record in caplog.records if record.message == "xds.nack"]
    fields = record.fields
    assert (fields["node"], fields["type"], fields["resources"]) == ("edge-1", "Cluster", "user")
    assert fields["error"] == "bad\nline"
    line = telemetry.JsonFormatter().format(record)
    assert "\n" not in line


async def test_health_follows_the_first_sync_and_the_end():
    inputs = Inputs()
    status = health_pb2.HealthCheckResponse
    async with (
        serving(inputs) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)

        async def health(service):
            return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status

        names = ("", SERVICE.strip("/"))
        assert [await health(name) for name in names] == [status.NOT_SERVING] * 2
        inputs.catalog.publish(catalog(user=8001))
        for name in names:
            await eventually(lambda name=name: health(name), lambda found: found == status.SERVING)


async def test_a_port_that_is_taken_is_an_error(server):
    options = XdsServerOptions(host="127.0.0.1", port=server.port, identifier="x", limits=StreamLimits())
    second = XdsServer(server.inputs.pipeline, options)
    with pytest.raises(PortTakenError):
        await second.start()
    await second.stop(0)
