"""gRPC without a proxy: real clients and servers, each xDS one in a process of its own."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus
from envoy.service.status.v3.csds_pb2 import ClientStatusRequest
from envoy.service.status.v3.csds_pb2_grpc import ClientStatusDiscoveryServiceStub

from tests.rig.conversation import Rule
from tests.rig.eventually import eventually
from tests.rig.grpc_client import GrpcInstance, GrpcProgram, bootstrap_file
from tests.rig.grpc_program import METHOD
from tests.rig.pem import Authority
from tests.rig.ports import free_port
from tests.rig.server import XdsServer
from tests.rig.world import World
from tests.rig.xds_messages import Response
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration

GRPC = {"protocol": "grpc"}
SETTINGS = {"services": {name: dict(GRPC) for name in ("user", "user-v2", "order")}}
ERRORS_BY_NAME = {"GRPC_EXPERIMENTAL_XDS_DATA_ERROR_HANDLING": "true"}


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    """A world whose clients speak SotW, the only variant that gRPC has (P-130)."""
    async with World(tmp_path, "sotw") as world:
        yield world


async def instance(world, service, name="", **registration):
    """Start a gRPC server, and register it as an instance of a service."""
    made = await world.stack.enter_async_context(GrpcInstance(name or service))
    await world.consul.register(service, port=made.port, id=made.name, **registration)
    return made


async def program(world, *, node="caller-1", environment=None, options=()):
    """Start a program with the bootstrap that our own command prints; what it says is recorded."""
    host, port = await world.recorder.tap(world.server.address)
    server = ("--xds", f"{host}:{port}")
    file = bootstrap_file(world.directory, "--id", node, "--cluster", "callers", *server, *options)
    return await world.stack.enter_async_context(GrpcProgram(file, environment))


def routed(*routes):
    """Give settings with a listener that claims hosts."""
    address = f"127.0.0.1:{free_port()}"
    return {**SETTINGS, "listeners": [{"name": "inside", "address": address, "routes": list(routes)}]}


async def answered(caller, target, expected):
    """Wait until calls, one for each answer, are answered as expected."""
    count = sum(expected.values())
    await eventually(
        lambda: caller.call(target, count=count), lambda calls: calls.answers == expected, within=10.0
    )


def share(calls, name):
    return calls.answers.get(name, 0) / sum(calls.answers.values())


# --- targets -----------------------------------------------------------------------------------------------


@pytest.mark.shows("P-130", "P-133", "P-147", "T-GR-01")
async def test_the_first_call_asks_for_four_resources_in_order(world):
    await instance(world, "user")
    await world.start_server(SETTINGS)
    caller = await program(world)
    calls = await caller.call("xds:///user")
    assert (calls.answers, calls.errors) == ({"user": 1}, [])
    assert calls.seconds < 1.0
    (stream,) = world.recorder.streams()
    sent = [(event.type, list(event.items)) for event in stream.events if isinstance(event, Response)]
    kinds = (TypeUrl.LISTENER, TypeUrl.ROUTES, TypeUrl.CLUSTER, TypeUrl.ENDPOINTS)
    assert sent == [(kind, ["user"]) for kind in kinds]


@pytest.mark.shows("P-130")
async def test_a_service_is_called_by_each_of_its_names(world):
    await instance(world, "user")
    await world.start_server(SETTINGS)
    caller = await program(world)
    names = ["user", "user.service.consul", "user.service.dc1.consul"]
    for target in [*names, *(f"{name}:50051" for name in names)]:
        for blocking in (False, True):
            calls = await caller.call(f"xds:///{target}", blocking=blocking)
            assert (calls.answers, calls.errors) == ({"user": 1}, []), target


@pytest.mark.shows("T-GR-02", "P-147", "P-009")
async def test_two_targets_are_two_streams_of_one_node(world):
    await instance(world, "user")
    await instance(world, "order")
    server = await world.start_server(SETTINGS)
    caller = await program(world)
    for target in ("user", "order"):
        assert (await caller.call(f"xds:///{target}")).answers == {target: 1}
    opened = server.events("stream.opened")
    assert [event["node"] for event in opened] == ["caller-1", "caller-1"]

    await caller.close("xds:///order")
    await eventually(lambda: len(server.events("stream.closed")), lambda count: count == 1)
    # The other stream goes on: it is told what changes.
    await instance(world, "user", "user-b")
    await world.consul.deregister("user")
    await answered(caller, "xds:///user", {"user-b": 5})
    assert len(server.events("stream.opened")) == 2


@pytest.mark.shows("T-GR-03", "P-105")
async def test_an_unknown_target_fails_at_once(world):
    await instance(world, "user")
    await instance(world, "web")
    await world.start_server(SETTINGS)
    world.recorder.excuse("an answer may hold errors alone", Rule.NEED)
    caller = await program(world, environment=ERRORS_BY_NAME)
    for target in ("nobody", "nobody:50051", "web", "nobody:0", "NOBODY:50051"):
        calls = await caller.call(f"xds:///{target}", timeout=30.0)
        [(status, text)] = calls.errors
        assert status == "UNAVAILABLE"
        assert "there is no" in text
        assert target.partition(":")[0] in text
        assert calls.seconds < 1.0


@pytest.mark.slow
@pytest.mark.shows("T-GR-03")
async def test_an_unknown_target_fails_after_the_clients_own_patience(world):
    await instance(world, "user")
    await world.start_server(SETTINGS)
    caller = await program(world)
    calls = await caller.call("xds:///nobody", timeout=30.0)
    [(status, text)] = calls.errors
    assert (status, "does not exist" in text) == ("UNAVAILABLE", True)
    assert 14.0 < calls.seconds < 17.0


@pytest.mark.shows("P-053", "P-130")
async def test_a_service_that_comes_later_is_found(world):
    await instance(world, "order")
    await world.start_server(SETTINGS)
    world.recorder.excuse("an answer may hold errors alone", Rule.NEED)
    caller = await program(world, environment=ERRORS_BY_NAME)
    targets = ("xds:///user", "xds:///user:50051")
    for target in targets:
        assert (await caller.call(target)).errors
    await instance(world, "user")
    for target in targets:
        await answered(caller, target, {"user": 1})


# --- endpoints ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.shows("T-GR-10")
async def test_endpoints_move_without_an_error(world):
    await instance(world, "user", "a")
    await world.start_server(SETTINGS)
    caller = await program(world)
    assert (await caller.call("xds:///user")).answers == {"a": 1}
    calling = asyncio.create_task(caller.call("xds:///user", count=3000))
    await asyncio.sleep(0)
    second = await instance(world, "user", "b")
    await eventually(lambda: second.methods)
    await world.consul.deregister("a")
    calls = await calling
    assert calls.errors == []
    assert calls.answers["b"] > calls.answers["a"] / 100
    await answered(caller, "xds:///user", {"b": 5})


@pytest.mark.shows("P-130")
async def test_weights_hold_and_follow(world):
    await instance(world, "user", "light", weights=(1, 1))
    heavy = await instance(world, "user", "heavy", weights=(3, 1), status="passing")
    await world.start_server(SETTINGS)
    caller = await program(world)
    calls = await caller.call("xds:///user", count=1000)
    assert calls.errors == []
    assert share(calls, "heavy") == pytest.approx(0.75, abs=0.06)

    await world.consul.set_status("heavy", "warning")
    await eventually(
        lambda: caller.call("xds:///user", count=300),
        lambda calls: share(calls, "heavy") == pytest.approx(0.5, abs=0.1),
    )
    await world.consul.set_status("heavy", "critical")
    await answered(caller, "xds:///user", {"light": 20})
    # As with Envoy, an instance that is critical takes the calls when there is no other.
    await world.consul.deregister("light")
    await answered(caller, "xds:///user", {"heavy": 20})
    assert heavy.methods


@pytest.mark.shows("P-139")
async def test_every_load_balancing_policy_is_taken(world):
    # A channel stays with one instance where the policy hashes: there is no source address to tell it by.
    used = {"round-robin": 3, "random": 3, "least-request": 3, "ring-hash": 1, "maglev": 1}
    for service in used:
        for number in range(3):
            await instance(world, service, f"{service}-{number}")
    outliers = {"interval": "1s", "failure_percentage_threshold": 50}
    services = {
        name: {**GRPC, "lb_policy": name.replace("-", "_"), "outlier_detection": dict(outliers)}
        for name in used
    }
    # An Envoy beside it takes what is made for Envoys.
    await world.start({"services": services})
    caller = await program(world)
    for service, expected in used.items():
        calls = await caller.call(f"xds:///{service}", count=60)
        assert (calls.errors, len(calls.answers)) == ([], expected), service
    assert await world.envoy.ready() == "LIVE"
    assert (await world.server.metrics()).total("xds_nacks_total") == 0


@pytest.mark.shows("P-139")
async def test_a_hash_of_a_header_sticks(world):
    for number in range(3):
        await instance(world, "user", f"user-{number}")
    hashed = {**GRPC, "lb_policy": "ring_hash", "hash_on": [{"header": "x-user"}]}
    await world.start_server({"services": {"user": hashed}})
    caller = await program(world)
    chosen = set()
    for key in "abcdefgh":
        calls = await caller.call("xds:///user", count=10, metadata={"x-user": key})
        assert len(calls.answers) == 1, key
        chosen.update(calls.answers)
    assert len(chosen) > 1


@pytest.mark.shows("P-134")
async def test_the_circuit_breaker_drops_calls(world):
    await instance(world, "user")
    await world.start_server({"services": {"user": {**GRPC, "circuit_breakers": {"max_requests": 0}}}})
    caller = await program(world)
    [(status, text)] = (await caller.call("xds:///user")).errors
    assert (status, text) == ("UNAVAILABLE", "circuit breaker drop")


# --- routes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.shows("P-131")
async def test_a_route_splits_90_to_10_and_moves(world):
    await instance(world, "user")
    await instance(world, "user-v2")
    server = await world.start_server(
        routed({"hosts": ["user", "checkout.example.com"], "split": {"user": 90, "user-v2": 10}})
    )
    caller = await program(world)
    for target in ("xds:///user", "xds:///checkout.example.com:50051"):
        calls = await caller.call(target, count=1000)
        assert calls.errors == []
        assert share(calls, "user-v2") == pytest.approx(0.1, abs=0.04), target
    # A name that the route does not claim is the service's own.
    assert (await caller.call("xds:///user.service.consul", count=20)).answers == {"user": 20}

    calling = asyncio.create_task(caller.call("xds:///user", count=1000))
    server.write_settings(world.settings(routed({"hosts": ["user"], "service": "user-v2"})))
    assert (await calling).errors == []
    await answered(caller, "xds:///user", {"user-v2": 20})


@pytest.mark.shows("P-131")
async def test_a_route_takes_a_whole_grpc_service_or_one_method(world):
    await instance(world, "user")
    await instance(world, "user-v2")
    await instance(world, "order")
    await world.start_server(
        routed(
            {"hosts": ["api"], "service": "user"},
            {"hosts": ["api"], "path_prefix": "/test.Greeter", "service": "user-v2"},
            {"hosts": ["api"], "path_prefix": "/test.Greeter/One", "service": "order"},
            {"hosts": ["api"], "path_prefix": "/gone.Service", "service": "gone"},
        )
    )
    caller = await program(world)
    for method, answering in (
        (METHOD, "user-v2"),
        ("/test.Greeter/One", "order"),
        ("/test.Greeter/OneMore", "user-v2"),
        ("/test.GreeterTwo/One", "user"),
    ):
        assert (await caller.call("xds:///api", method=method)).answers == {answering: 1}, method
    [(status, _)] = (await caller.call("xds:///api", method="/gone.Service/Get")).errors
    assert status == "UNAVAILABLE"


# --- what comes and goes -----------------------------------------------------------------------------------


@pytest.mark.shows("T-GR-05", "P-143", "P-055")
async def test_a_service_that_goes_fails_calls_until_it_is_back(world):
    await instance(world, "user")
    await instance(world, "order")
    server = await world.start_server(SETTINGS | {"guards": {"remove_clusters_after": "0s"}})
    caller = await program(world)
    # A name with a port is no more than its routes, which SotW cannot take away: there the cluster is gone.
    gone = {"xds:///user": "LDS resource user", "xds:///user:50051": "CDS resource user"}
    for target in gone:
        assert (await caller.call(target)).answers == {"user": 1}
    await world.consul.deregister("user")
    for target, what in gone.items():
        calls = await eventually(
            lambda target=target: caller.call(target),
            lambda calls, what=what: f"{what}: does not exist" in calls.errors[0][1],
        )
        assert calls.errors[0][0] == "UNAVAILABLE"
    world.recorder.excuse("what led to the service is gone with it", Rule.REMOVAL)

    await instance(world, "user")
    for target in gone:
        await answered(caller, target, {"user": 1})
    assert (await server.metrics()).total("xds_nacks_total") == 0


@pytest.mark.shows("T-GR-06", "P-144", "P-147")
async def test_calls_go_on_while_the_server_is_gone_and_follow_when_it_is_back(world):
    await instance(world, "user", "a")
    server = await world.start_server(SETTINGS)
    caller = await program(world)
    assert (await caller.call("xds:///user")).answers == {"a": 1}
    await server.kill()
    assert (await caller.call("xds:///user", count=50)).answers == {"a": 50}
    await server.start()
    await instance(world, "user", "b")
    await world.consul.deregister("a")
    calls = await eventually(
        lambda: caller.call("xds:///user", count=5),
        lambda calls: calls.errors or calls.answers == {"b": 5},
        within=40.0,
        every=0.1,
    )
    assert calls.errors == []


class OtherAddress(XdsServer):
    """Listens on the other loopback address, so that `localhost` is the name of two servers."""

    def command(self):
        command = super().command()
        command[command.index("--listen") + 1] = f"[::1]:{self.port}"
        return command


@pytest.mark.shows("P-145")
async def test_a_client_moves_to_another_address_of_its_servers_name(world):
    await instance(world, "user", "a")
    one = await world.start_server(SETTINGS)
    two = OtherAddress(world.directory, ("--consul", world.consul.address), SETTINGS, name="two")
    two.port = one.port
    await world.stack.enter_async_context(two)
    options = ("--id", "caller-1", "--cluster", "callers", "--xds", f"localhost:{one.port}")
    caller = await world.stack.enter_async_context(GrpcProgram(bootstrap_file(world.directory, *options)))
    assert (await caller.call("xds:///user")).answers == {"a": 1}

    used, other = (one, two) if one.events("stream.opened") else (two, one)
    assert not other.events("stream.opened")
    await used.kill()
    await instance(world, "user", "b")
    await world.consul.deregister("a")
    await answered(caller, "xds:///user", {"b": 5})


def acknowledged(answer):
    """Tell of a ClientStatusResponse with one client whether each resource is acknowledged."""
    (client,) = answer.config
    assert client.node.user_agent_name.startswith("gRPC")
    return {
        (one.type_url.rpartition(".")[2], one.name): one.client_status == ClientResourceStatus.ACKED
        for one in client.generic_xds_configs
    }


@pytest.mark.shows("T-GR-08", "P-120", "P-138")
async def test_everything_a_client_was_sent_is_acknowledged(world):
    await instance(world, "user")
    await world.start_server(SETTINGS)
    caller = await program(world)
    assert (await caller.call("xds:///user:50051")).answers == {"user": 1}
    expected = {
        ("Listener", "user:50051"): True,
        ("RouteConfiguration", "user"): True,
        ("Cluster", "user"): True,
        ("ClusterLoadAssignment", "user"): True,
    }
    # The client says so of itself, and this server of the client.
    assert acknowledged(await caller.status()) == expected

    async def of_the_server():
        async with grpc.aio.insecure_channel("{}:{}".format(*world.server.address)) as channel:
            stub = ClientStatusDiscoveryServiceStub(channel)
            return acknowledged(await stub.FetchClientStatus(ClientStatusRequest(), timeout=5.0))

    await eventually(of_the_server, lambda found: found == expected)


# --- servers, and the channel to this server ---------------------------------------------------------------


@pytest.mark.shows("T-GR-07", "P-135")
async def test_a_grpc_server_gets_its_listener(world):
    server = await world.start_server(SETTINGS)
    callee = await program(world, node="user-1")
    for host in ("[::1]", "0.0.0.0", "127.0.0.1"):
        port = free_port()
        await callee.serve(f"{host}:{port}", "inbound")
        reached = host.replace("0.0.0.0", "127.0.0.1")
        async with grpc.aio.insecure_channel(f"{reached}:{port}") as channel:
            call = channel.unary_unary(METHOD)
            assert await call(b"", timeout=10.0, wait_for_ready=True) == b"inbound", host
    assert (await server.metrics()).total("xds_nacks_total") == 0

    await world.consul.register("user", port=port)
    caller = await program(world)
    await answered(caller, "xds:///user", {"inbound": 1})


@pytest.mark.shows("P-116")
async def test_the_channel_to_this_server_takes_tls_with_a_certificate(world):
    authority, files = Authority(), {}
    for name, host in (("server", "127.0.0.1"), ("client", "caller")):
        chain, key = authority.pair(host)
        files |= {f"{name}.pem": chain, f"{name}.key": key}
    for name, content in {**files, "ca.pem": authority.pem}.items():
        (world.directory / name).write_bytes(content)
    await instance(world, "user")
    tls = {"cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem"}
    await world.start_server({**SETTINGS, "xds": {"tls": tls}})
    world.recorder.excuse("the channel is encrypted")

    ca, cert, key = (str(world.directory / name) for name in ("ca.pem", "client.pem", "client.key"))
    caller = await program(world, options=["--tls-ca", ca, "--tls-cert", cert, "--tls-key", key])
    assert (await caller.call("xds:///user")).answers == {"user": 1}
    bare = await program(world, node="bare", options=["--tls-ca", ca])
    assert (await bare.call("xds:///user", timeout=2.0)).errors
