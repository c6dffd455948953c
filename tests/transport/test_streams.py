"""The life of a stream, over real gRPC."""

from dataclasses import replace

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.protocol.resources import CDS, EDS, LDS, RDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import LOOPBACK, Inputs, catalog
from tests.transport.ads_client import METHODS, SERVICE, VARIANTS, AdsClient, edge
from tests.transport.serving import sample, serving, streams
from xds_server import telemetry
from xds_server.model.policy import ServicePolicy
from xds_server.model.problem import Code
from xds_server.protocol.node import MAX_NODE_TEXT
from xds_server.runtime.pipeline import MAX_KINDS
from xds_server.transport import StreamLimits
from xds_server.transport.server import PortTakenError, XdsServer, XdsServerOptions

REQUESTS = {"sotw": DiscoveryRequest, "delta": DeltaDiscoveryRequest}
STATUS = grpc.StatusCode


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


@pytest.fixture(params=METHODS)
def aggregated(request):
    return request.param


@pytest.fixture
async def server():
    async with serving(Inputs(catalog(user=8001))) as running:
        yield running


async def streams_end(variant):
    await eventually(lambda: streams(variant) == 0)


@pytest.mark.shows("P-001", "P-005", "P-067", "T-ST-03")
async def test_a_conversation(server, variant):
    """The node of the first request counts for all of them."""
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user").subscribe(EDS, "user").expect(EDS, "user")
        await client.ack(EDS).ack(CDS).subscribe(LDS).expect(LDS, "default").ack(LDS)
        await client.subscribe(RDS, "default").expect(RDS, "default").ack(RDS).expect_nothing()

        server.inputs.catalog.publish(catalog(user=8002))

        await client.expect(EDS, "user").ack(EDS).expect_nothing()


async def test_requests_and_responses_are_counted(server, aggregated):
    def counted():
        names = ("xds_requests_total", "xds_responses_total", "xds_response_bytes_total")
        return [sample(name, variant=aggregated, type="Cluster") for name in names]

    before = counted()
    async with AdsClient(server.port, aggregated) as client:
        await client.subscribe(CDS).expect(CDS, "user")
        assert sample("xds_streams", variant=aggregated) == 1
        await client.ack(CDS)
        (message,) = client.received

        size = message.ByteSize()
        await eventually(lambda: counted() == [before[0] + 2, before[1] + 1, before[2] + size])
    await streams_end(aggregated)


@pytest.mark.shows("P-003", "T-ST-01")
async def test_a_request_without_a_type_ends_the_stream(server, aggregated):
    async with AdsClient(server.port, aggregated) as client:
        assert (await (await client.subscribe("")).end())[0] is STATUS.INVALID_ARGUMENT
        assert "type_url" in await client.call.details()


@pytest.mark.shows("T-ST-01")
async def test_so_does_a_later_one(server, aggregated):
    """With a status, not by accident."""
    async with AdsClient(server.port, aggregated) as client:
        await client.subscribe(CDS).expect(CDS, "user").subscribe("")

        assert (await client.end())[0] is STATUS.INVALID_ARGUMENT
    await streams_end(aggregated)


@pytest.mark.parametrize("node", [Node(), Node(cluster="edge"), edge("x" * (MAX_NODE_TEXT + 1))])
@pytest.mark.shows("P-008", "T-ST-02")
async def test_a_client_that_does_not_say_who_it_is_is_refused(server, variant, node):
    async with AdsClient(server.port, variant, node=node) as client:
        code, details = await (await client.subscribe(CDS)).end()

    assert code is STATUS.INVALID_ARGUMENT
    assert "node.id" in details


@pytest.mark.shows("P-006", "T-ST-04")
async def test_a_node_with_every_request_changes_nothing(server, variant):
    node = edge(ballast="x" * 60_000)
    async with AdsClient(server.port, variant, node=node, node_always=True) as client:
        await client.subscribe(CDS).expect(CDS, "user")
        for _ in range(200):
            client.ack(CDS)
        await client.subscribe(EDS, "user").expect(EDS, "user")


@pytest.mark.shows("P-007")
async def test_metadata_that_changes_counts_as_it_was_first(server, variant):
    """Another admin port would be another group. Another id ends the stream: `test_bad_inputs`, 94."""
    server.inputs.catalog.publish(catalog(user=8001, admin=19000))
    async with AdsClient(server.port, variant, node=edge(envoy_admin_port=19000)) as client:
        await client.subscribe(EDS, "admin")
        assert client.contents(await client.hear()) == {"admin": ""}
        client.introduce(edge(envoy_admin_port=1))
        await client.ack(EDS).subscribe(CDS).expect(CDS, "admin", "user")


@pytest.mark.shows("P-054")
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
        assert [found.code for found in server.inputs.pipeline.problems] == [Code.ENDPOINT_PORT_DENIED]


@pytest.mark.shows("P-009", "T-ST-05")
async def test_a_new_stream_of_the_same_node_does_not_end_the_old_nor_the_other_way_round(server, variant):
    async with AdsClient(server.port, variant) as new:
        async with AdsClient(server.port, variant) as old:
            await old.subscribe(CDS).expect(CDS, "user")
            await new.subscribe(CDS).expect(CDS, "user").ack(CDS)
            await old.ack(CDS).expect_nothing()
        await eventually(lambda: streams(variant) == 1)
        server.inputs.catalog.publish(catalog(user=8001, order=8002))

        await new.expect(CDS, *(["user"] if variant.startswith("sotw") else []), "order")


@pytest.mark.shows("P-004", "T-ST-06")
async def test_many_streams_of_one_node_get_what_each_asked_for(server, variant):
    names = [f"service-{number}" for number in range(10)]
    server.inputs.catalog.publish(catalog(**{name: 8000 + n for n, name in enumerate(names)}))
    await eventually(lambda: server.inputs.pipeline.snapshot.value.resource(EDS, names[0]))
    clients = [AdsClient(server.port, variant) for _ in names]
    for client, name in zip(clients, names, strict=True):
        async with client:
            await client.subscribe(EDS, name).expect(EDS, name).ack(EDS)
    await streams_end(variant)


@pytest.mark.shows("T-ST-08")
async def test_a_client_that_is_done_ends_the_stream_well(server, variant):
    async with AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect(CDS, "user").half_close()

        assert (await client.end())[0] is STATUS.OK
    async with AdsClient(server.port, variant.split()[0]) as silent:
        assert (await (await silent.half_close()).end())[0] is STATUS.OK
    await streams_end(variant)


@pytest.mark.shows("P-011", "T-ST-12")
async def test_a_type_that_is_not_served_costs_nothing(server, aggregated):
    async with AdsClient(server.port, aggregated) as client:
        unknown = "type.googleapis.com/no.such.Type"
        await client.subscribe(unknown, "x")
        if aggregated == "delta":
            assert (await client.hear()).removed_resources == ["x"]
        await client.subscribe(CDS).expect(CDS, "user").expect_nothing()
    assert sample("xds_requests_total", variant=aggregated, type="other") >= 1


@pytest.mark.shows("P-017")
async def test_a_field_from_the_future_is_passed_over(server, aggregated):
    request = REQUESTS[aggregated](type_url=CDS, node=edge()).SerializeToString()
    field_2000 = b"\x82\x7d\x03abc"
    async with AdsClient(server.port, aggregated) as client:
        await client.say(request + field_2000).expect(CDS, "user")


@pytest.mark.shows("P-013", "T-ST-17")
async def test_before_the_first_sync_a_stream_waits_and_is_then_served(variant):
    async with serving(Inputs()) as server, AdsClient(server.port, variant) as client:
        await client.subscribe(CDS).expect_nothing()
        server.inputs.catalog.publish(catalog(user=8001))

        await client.expect(CDS, "user")


@pytest.mark.shows("P-013", "T-ST-17")
async def test_without_a_sync_a_stream_is_refused_and_never_empty(variant, caplog):
    limits = StreamLimits(first_snapshot=0.1)
    async with serving(Inputs(), limits=limits) as server, AdsClient(server.port, variant) as client:
        code, details = await (await client.subscribe(CDS)).end()

    assert (code, client.received) == (STATUS.UNAVAILABLE, [])
    assert "not read yet" in details
    assert [record.message for record in caplog.records] == ["stream.refused"]


async def test_too_many_kinds_of_proxies(server):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xds_server.runtime.pipeline.MAX_KINDS", 0)
        async with AdsClient(server.port, "delta", node=edge(envoy_admin_port=19000)) as client:
            code, _ = await (await client.subscribe(CDS)).end()

    assert MAX_KINDS > 1
    assert code is STATUS.RESOURCE_EXHAUSTED


@pytest.mark.shows("P-031")
async def test_a_rejection_is_logged_and_counted(server, variant, caplog):
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
    second = XdsServer(server.inputs.pipeline, server.fleet, server.loads, options)
    with pytest.raises(PortTakenError):
        await second.start()
    await second.stop(0)


@pytest.mark.shows("P-030")
async def test_what_every_client_rejects_is_not_sent_to_the_next_one(server, variant):
    """It is sent the version that was accepted last; the others go on."""
    async with AdsClient(server.port, variant) as first:
        good = (await first.subscribe(CDS).expect(CDS, "user").ack(CDS)).received[0]
        slower = ServicePolicy(connect_timeout=9.0)
        server.inputs.policy.publish(replace(LOOPBACK, services={"user": slower}))
        # It has the good one still.
        await first.expect(CDS, "user").nack(CDS).expect_nothing()
        async with AdsClient(server.port, variant) as second:
            await second.subscribe(CDS).expect(CDS, "user")

            assert list(second.received[0].resources) == list(good.resources)
        server.inputs.catalog.publish(catalog(user=8001, order=8002))
        await first.expect(CDS, *(["user"] if variant.startswith("sotw") else []), "order").ack(CDS)
