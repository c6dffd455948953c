"""The services there are, and what is particular to those for one type."""

import asyncio

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.protocol.resources import CDS, LDS
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.ads_client import edge
from tests.transport.serving import serving
from xds_server.model.types import TypeUrl
from xds_server.transport.services import SERVICES

POOL = descriptor_pool.Default()
REQUESTS = {"sotw": DiscoveryRequest, "delta": DeltaDiscoveryRequest}
RESPONSES = {"sotw": DiscoveryResponse, "delta": DeltaDiscoveryResponse}
METHODS = [
    pytest.param(service, mode, id=getattr(service, mode))
    for service in SERVICES
    for mode in REQUESTS
    if service.type is not None and getattr(service, mode)
]


@pytest.fixture
async def server():
    async with serving(Inputs(catalog(user=8001))) as running:
        await eventually(lambda: running.inputs.pipeline.snapshot.value)
        yield running


@pytest.fixture
async def channel(server):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name.rpartition(".")[2])
@pytest.mark.shows("P-001")
def test_every_stream_of_the_specification_is_served(service):
    methods = POOL.FindServiceByName(service.name).methods

    streams = {method.name for method in methods if not method.name.startswith("Fetch")}
    assert {service.sotw, service.delta} - {""} == streams
    for method in methods:
        if method.name in (service.sotw, service.delta):
            mode = "sotw" if method.name == service.sotw else "delta"
            assert method.input_type.full_name == REQUESTS[mode].DESCRIPTOR.full_name


def test_every_type_has_its_service():
    assert {service.type for service in SERVICES} == {None, *TypeUrl}


async def ask(channel, service, mode, type_url):
    call = channel.stream_stream(f"/{service.name}/{getattr(service, mode)}")()
    names = {"resource_names": ["x"]} if mode == "sotw" else {"resource_names_subscribe": ["x"]}
    await call.write(REQUESTS[mode](type_url=type_url, node=edge(), **names).SerializeToString())
    return call


@pytest.mark.parametrize(("service", "mode"), METHODS)
@pytest.mark.parametrize("said", [True, False])
@pytest.mark.shows("P-003")
async def test_the_method_decides_the_type(channel, server, service, mode, said):
    call = await ask(channel, service, mode, service.type if said else "")
    (session,) = await eventually(lambda: server.fleet.sessions)
    # Not every type is answered where nothing of it exists; each is subscribed to.
    assert list(session.machine.types) == [service.type]
    if service.type in (CDS, LDS) or mode == "delta":
        answer = RESPONSES[mode].FromString(await call.read())
        assert answer.type_url == service.type
    call.cancel()


@pytest.mark.parametrize(("service", "mode"), METHODS)
@pytest.mark.shows("P-003", "T-ST-14")
async def test_another_type_ends_the_stream(channel, service, mode):
    other = CDS if service.type is not CDS else LDS
    call = await ask(channel, service, mode, other)

    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"for {service.type.short} only" in await call.details()


async def test_so_does_one_that_comes_later(channel):
    service = next(service for service in SERVICES if service.type is CDS)
    call = await ask(channel, service, "sotw", CDS)
    await call.read()
    await call.write(DiscoveryRequest(type_url=LDS).SerializeToString())

    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "method",
    [
        "cluster.v3.ClusterDiscoveryService/FetchClusters",
        "route.v3.VirtualHostDiscoveryService/StreamVirtualHosts",
        "discovery.v2.AggregatedDiscoveryService/StreamAggregatedResources",
    ],
)
@pytest.mark.shows("P-001")
async def test_what_is_not_served_is_unimplemented(channel, method):
    call = channel.stream_stream(f"/envoy.service.{method}")()
    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_knows_every_service(server, channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in SERVICES:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service.name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service.name


async def test_reflection_describes_every_service(server):
    def described():
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            listed = database.get_services()
            return listed, [database.FindFileContainingSymbol(name).name for name in listed]

    listed, files = await asyncio.to_thread(described)

    assert {service.name for service in SERVICES} <= set(listed)
    assert "envoy/service/load_stats/v3/lrs.proto" in files
    assert "envoy/service/status/v3/csds.proto" in files
