import asyncio
import signal
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from tests.rig.server import XdsServer
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"


@pytest.mark.shows("P-012", "T-ST-11")
async def test_sigterm_ends_it_cleanly_and_sends_streams_elsewhere(delta_world):
    server = await delta_world.start_server()
    await delta_world.start_envoy()
    async with XdsStream(server.address, "delta") as delta, XdsStream(server.address, "sotw") as sotw:
        for stream in (delta, sotw):
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="edge-2"))
            await stream.receive()
        started = time.monotonic()
        assert await server.process.end(signal.SIGTERM) == 0
        assert time.monotonic() - started < 5
        for stream in (delta, sotw):
            assert await stream.refusal() == (grpc.StatusCode.UNAVAILABLE, "this server is shutting down")
    assert server.events("server.stopped")
    assert not server.events("task.failed")
    assert await delta_world.envoy.ready() == "LIVE"


@pytest.mark.parametrize("which", ["port", "admin_port"])
async def test_a_taken_port_is_told_in_one_sentence(delta_world, which):
    first = await delta_world.start_server()
    second = XdsServer(delta_world.directory, ("--consul", delta_world.consul.address), name="second")
    setattr(second, which, getattr(first, which))
    await second.process.start(second.command())
    assert await second.process.wait(10.0) == 1
    said = not_json(second)
    flag = "--listen" if which == "port" else "--admin"
    assert len(said) == 1, said
    assert f"127.0.0.1:{getattr(first, which)} cannot be bound" in said[0]
    assert f"choose another with {flag} HOST:PORT" in said[0]


async def test_health_and_readiness_follow_the_first_sync(delta_world):
    world = delta_world
    await world.instance("user")
    async with FaultProxy(world.consul.http_port, delay=1.0) as proxy:
        source = ("--consul", f"http://127.0.0.1:{proxy.port}")
        world.server = server = XdsServer(world.directory, source, world.settings())
        world.stack.push_async_callback(server.stop)
        await server.start(ready_within=None)
        assert await server.status("/readyz") == 503
        assert "not ready" in await server.text("/readyz")
        assert await health(server) == {"": "NOT_SERVING", ADS: "NOT_SERVING"}
        await eventually(lambda: server.status("/readyz"), lambda status: status == 200, within=10.0)
        assert await eventually(lambda: health(server), lambda h: "NOT_SERVING" not in h.values())
        await server.stop()


async def test_the_admin_port_and_reflection_answer(delta_world):
    await delta_world.instance("user")
    await delta_world.start()
    server = delta_world.server
    assert await server.text("/healthz") == "ok\n"
    assert await server.text("/readyz") == "ready\n"
    assert await server.problems() == []
    metrics = await server.metrics()
    assert metrics.total("xds_streams", variant="delta") == 1
    assert metrics.total("xds_snapshot_resources", type="Cluster") == 1
    assert metrics.total("xds_source_state", state="live") == 1
    assert metrics.total("xds_nacks_total") == 0
    listed = await asyncio.to_thread(reflected, f"127.0.0.1:{server.port}")
    assert {ADS, "grpc.health.v1.Health"} <= set(listed)


async def test_no_log_line_is_a_traceback_and_all_are_json(delta_world):
    await delta_world.instance("user")
    await delta_world.start()
    await delta_world.server.process.end(signal.SIGTERM)
    assert delta_world.server.events("server.stopped")
    assert not not_json(delta_world.server)


def not_json(server):
    return [line for line in server.process.output.splitlines() if not line.startswith("{")]


async def health(server):
    answers = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", ADS):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            answers[service] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return answers


def reflected(target):
    with grpc.insecure_channel(target) as channel:
        return ProtoReflectionDescriptorDatabase(channel).get_services()


async def test_the_server_is_a_service_of_consul_for_as_long_as_it_runs(delta_world):
    path = "/v1/health/service/xds-server"
    await delta_world.start_server()
    (row,) = await eventually(lambda: delta_world.consul.get(f"{path}?passing"))
    assert (row["Service"]["Address"], row["Service"]["Port"]) == ("127.0.0.1", delta_world.server.port)
    # Nobody is sent to it as to a service.
    assert await delta_world.server.problems() == []

    assert await delta_world.server.process.end() == 0

    assert await delta_world.consul.get(path) == []


async def test_a_server_that_is_not_to_register_does_not(delta_world):
    await delta_world.start_server({"consul": {"register": False}})
    assert "xds-server" not in await delta_world.consul.get("/v1/catalog/services")
