from collections.abc import Mapping

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener as EnvoyListener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from xds_server.model.catalog import Catalog, Instance, Locality, Service, Status, Weights
from xds_server.model.policy import (
    DEFAULT_LISTENER,
    CircuitBreakers,
    HashKind,
    HashOn,
    LbPolicy,
    Listener,
    ListenerKind,
    Policy,
    Protocol,
    Route,
    ServicePolicy,
    UpstreamTls,
    WeightedService,
)
from xds_server.model.problem import Code
from xds_server.model.proxy import Client, Group
from xds_server.model.route import RouteMatch
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Translation, Translator
from xds_server.translate.proxyless_clusters import HASHED
from xds_server.translate.proxyless_listeners import derived_listener
from xds_server.translate.render import unpack

GRPC = ServicePolicy(protocol=Protocol.GRPC)
SERVER = "grpc/server?xds.resource.listening_address="


def instance(number: int, *, weight: int = 1, zone: str = "", status: Status | None = None) -> Instance:
    return Instance(
        node="n1",
        id=f"i{number}",
        address=f"10.0.0.{number}",
        port=50051,
        weights=Weights(passing=weight),
        statuses=(status,) if status else (),
        locality=Locality(zone=zone),
    )


def catalog(**services: list[Instance]) -> Catalog:
    return Catalog.of(
        "dc1", [Service.of(name.replace("_", "-"), instances) for name, instances in services.items()]
    )


def route(*hosts: str, prefix: str = "/", **split: int) -> Route:
    targets = tuple(WeightedService(service=name, weight=weight) for name, weight in split.items())
    return Route(hosts=hosts, match=RouteMatch.below(prefix), targets=targets, source="settings routes[0]")


def listener(*routes: Route, name: str = "edge") -> Listener:
    return Listener(name=name, address="127.0.0.1", port=10443, routes=routes)


def translated(found: Catalog, policy: Policy, secrets: Secrets | None = None) -> Translation:
    return Translator(Group(client=Client.GRPC)).translate(found, policy, secrets or Secrets())


def served(found: Catalog, policy: Policy) -> Snapshot:
    made = translated(found, policy)
    return build(made.drafts, made.problems, EMPTY, made.derived)


def names(made: Translation) -> dict[str, list[str]]:
    return {kind.short: list(drafts) for kind, drafts in made.drafts.items() if drafts}


def message(snapshot: Snapshot, type_url: TypeUrl, name: str) -> object:
    resource = snapshot.resource(type_url, name)
    assert resource is not None, name
    return unpack(type_url, resource.packed)


def branches(snapshot: Snapshot, host: str) -> list[tuple[str, dict[str, int]]]:
    """Give what each route of a host matches, and its clusters by weight."""
    found = message(snapshot, TypeUrl.ROUTES, host)
    assert isinstance(found, RouteConfiguration)
    (virtual_host,) = found.virtual_hosts
    assert list(virtual_host.domains) == ["*"]
    return [
        (
            one.match.path or f"{one.match.prefix}*",
            {branch.name: branch.weight.value for branch in one.route.weighted_clusters.clusters}
            or dict.fromkeys([one.route.cluster] if one.route.cluster else [], 1),
        )
        for one in virtual_host.routes
    ]


def manager(found: object) -> HttpConnectionManager:
    assert isinstance(found, EnvoyListener)
    unpacked = HttpConnectionManager()
    packed = found.api_listener.api_listener
    if not packed.type_url:
        packed = found.filter_chains[0].filters[0].typed_config
    assert packed.Unpack(unpacked)
    assert [one.name for one in unpacked.http_filters] == ["envoy.filters.http.router"]
    return unpacked


# --- which services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", Protocol)
def test_only_what_speaks_http2_is_served(protocol: Protocol) -> None:
    policy = Policy(services={"user": ServicePolicy(protocol=protocol)})

    made = translated(catalog(user=[instance(1)]), policy)

    there = protocol in {Protocol.GRPC, Protocol.HTTP2}
    assert names(made).get("Cluster", []) == (["user"] if there else [])
    assert not made.problems


@pytest.mark.shows("P-132")
def test_a_service_behind_tls_is_left_out_with_a_problem() -> None:
    policy = Policy(
        services={
            "user": ServicePolicy(protocol=Protocol.GRPC, tls=UpstreamTls(ca="ca", sans=("user.test",))),
            "order": GRPC,
        }
    )
    secrets = Secrets(by_name={"ca": Secret(name="ca", trusted_ca=b"ca")})

    made = translated(catalog(user=[instance(1)], order=[instance(2)]), policy, secrets)

    assert names(made)["Cluster"] == ["order"]
    assert "Secret" not in names(made)
    assert [(one.code, one.source) for one in made.problems] == [(Code.GRPC_TLS, 'service "user"')]


@pytest.mark.shows("P-130")
def test_a_service_has_the_names_it_has_for_envoys_clients() -> None:
    made = translated(catalog(User=[instance(1)]), Policy(services={"User": GRPC}))

    hosts = ["user", "user.service.consul", "user.service.dc1.consul"]
    assert names(made) == {
        "Cluster": ["User"],
        "ClusterLoadAssignment": ["User"],
        "Listener": hosts,
        "RouteConfiguration": hosts,
    }


def test_a_service_cannot_take_the_name_of_another() -> None:
    found = Catalog.of(
        "dc1", [Service.of(name, [instance(1)]) for name in ("user", "user.service.consul", "USER")]
    )

    snapshot = served(found, Policy(defaults=GRPC))

    assert branches(snapshot, "user") == [("/*", {"user": 1})]
    assert branches(snapshot, "user.service.consul") == [("/*", {"user": 1})]


# --- routes ------------------------------------------------------------------------------------------------


@pytest.mark.shows("P-131")
def test_the_first_http_listener_that_claims_a_host_has_it() -> None:
    tcp = Listener(
        name="tcp", address="127.0.0.1", port=1, kind=ListenerKind.TCP, routes=(route("user", order=1),)
    )
    policy = Policy(
        defaults=GRPC,
        listeners=(
            DEFAULT_LISTENER,
            tcp,
            listener(route("user", user=9, order=1)),
            listener(route("user", "shop.example.com", order=1), name="later"),
        ),
    )

    snapshot = served(catalog(user=[instance(1)], order=[instance(2)]), policy)

    assert branches(snapshot, "user") == [("/*", {"user": 9, "order": 1})]
    assert branches(snapshot, "shop.example.com") == [("/*", {"order": 1})]
    assert branches(snapshot, "user.service.consul") == [("/*", {"user": 1})]


@pytest.mark.shows("P-131")
def test_the_longest_prefix_comes_first_and_takes_whole_segments() -> None:
    routes = (
        route("api", user=1),
        route("api", prefix="/a.B", order=1),
        route("api", prefix="/a.B/C", user=1),
        route("api", prefix="/a.Bee/", order=1),
    )

    snapshot = served(
        catalog(user=[instance(1)], order=[instance(2)]),
        Policy(defaults=GRPC, listeners=(listener(*routes),)),
    )

    assert branches(snapshot, "api") == [
        ("/a.Bee/*", {"order": 1}),
        ("/a.B/C", {"user": 1}),
        ("/a.B/C/*", {"user": 1}),
        ("/a.B", {"order": 1}),
        ("/a.B/*", {"order": 1}),
        ("/*", {"user": 1}),
    ]


def test_what_cannot_be_called_leaves_the_split_with_a_problem() -> None:
    policy = Policy(services={"user": GRPC}, listeners=(listener(route("shop", user=1, web=1, gone=1)),))

    snapshot = served(catalog(user=[instance(1)], web=[instance(2)]), policy)

    assert branches(snapshot, "shop") == [("/*", {"user": 1})]
    assert [(one.code, one.source) for one in snapshot.problems] == [
        (Code.GRPC_ROUTE_TARGET, "settings routes[0]")
    ] * 2


def test_a_route_that_leads_nowhere_fails_calls_and_is_no_way_round() -> None:
    policy = Policy(
        services={"user": GRPC},
        listeners=(listener(route("user", user=1), route("user", prefix="/w/", web=1)),),
    )

    snapshot = served(catalog(user=[instance(1)], web=[instance(2)]), policy)

    assert branches(snapshot, "user") == [("/w/*", {}), ("/*", {"user": 1})]
    assert not snapshot.problems


@pytest.mark.parametrize("hosts", [("*",), ("*.example.com",), ("web.example.com",)])
def test_hosts_that_no_grpc_client_could_use_are_not_there(hosts: tuple[str, ...]) -> None:
    policy = Policy(services={"user": GRPC}, listeners=(listener(route(*hosts, web=1)),))

    made = translated(catalog(user=[instance(1)], web=[instance(2)]), policy)

    assert {host.partition(".")[0] for host in names(made)["Listener"]} == {"user"}
    assert not made.problems


def test_a_claimed_host_is_never_its_services_own_even_if_the_route_leads_nowhere() -> None:
    policy = Policy(services={"user": GRPC}, listeners=(listener(route("user", gone=1)),))

    made = translated(catalog(user=[instance(1)]), policy)

    assert names(made)["Listener"] == ["user.service.consul", "user.service.dc1.consul"]


# --- endpoints ---------------------------------------------------------------------------------------------


def localities(policy: ServicePolicy, *instances: Instance) -> Mapping[str, tuple[int, list[int]]]:
    """Give the weight of each locality, and the weights of its endpoints, all of which are healthy."""
    snapshot = served(catalog(user=list(instances)), Policy(services={"user": policy}))
    found = message(snapshot, TypeUrl.ENDPOINTS, "user")
    assert isinstance(found, ClusterLoadAssignment)
    assert {one.health_status for group in found.endpoints for one in group.lb_endpoints} <= {1}
    return {
        "/".join(filter(None, (group.locality.zone, group.locality.sub_zone))): (
            group.load_balancing_weight.value,
            [one.load_balancing_weight.value for one in group.lb_endpoints],
        )
        for group in found.endpoints
    }


@pytest.mark.shows("P-130")
def test_endpoints_of_one_weight_stay_in_their_locality() -> None:
    found = localities(
        GRPC,
        instance(1, weight=2, zone="a"),
        instance(2, weight=2, zone="a"),
        instance(3, weight=5, zone="b"),
    )

    assert found == {"a": (4, [2, 2]), "b": (5, [5])}


@pytest.mark.shows("P-130")
def test_a_locality_of_several_weights_becomes_one_for_each() -> None:
    found = localities(
        GRPC, instance(1, weight=3, zone="a"), instance(2, zone="a"), instance(3, weight=3, zone="a")
    )

    assert found == {"a/weight-1": (1, [1]), "a/weight-3": (6, [3, 3])}


@pytest.mark.parametrize("policy", [LbPolicy.RING_HASH, LbPolicy.MAGLEV])
def test_for_a_ring_all_endpoints_are_in_one_locality(policy: LbPolicy) -> None:
    hashed = ServicePolicy(protocol=Protocol.GRPC, lb_policy=policy)

    found = localities(hashed, instance(1, weight=3, zone="a"), instance(2, zone="b"))

    assert found == {"": (4, [3, 1])}
    assert localities(hashed) == {}


CRITICAL = Status.CRITICAL


@pytest.mark.parametrize(
    ("threshold", "sick", "listed"),
    [(1, 0, 4), (1, 1, 3), (1, 3, 1), (1, 4, 4), (0, 4, 0), (50, 2, 2), (50, 3, 4), (100, 1, 4)],
)
def test_unhealthy_ones_are_there_only_in_a_panic(threshold: int, sick: int, listed: int) -> None:
    policy = ServicePolicy(protocol=Protocol.GRPC, panic_threshold=threshold)
    instances = [instance(number, status=CRITICAL if number < sick else None) for number in range(4)]

    assert sum(len(weights) for _, weights in localities(policy, *instances).values()) == listed


# --- listeners ---------------------------------------------------------------------------------------------


@pytest.mark.shows("P-130", "P-137")
def test_the_listener_of_a_target_asks_for_its_routes_over_ads() -> None:
    snapshot = served(catalog(user=[instance(1)]), Policy(defaults=GRPC))
    for name, host in (
        ("user", "user"),
        ("user.service.consul", "user.service.consul"),
        ("user:50051", "user"),
        ("user.service.dc1.consul:1", "user.service.dc1.consul"),
        ("nobody:65535", "nobody"),
    ):
        rds = manager(message(snapshot, TypeUrl.LISTENER, name)).rds
        assert (rds.route_config_name, rds.config_source.WhichOneof("config_source_specifier")) == (
            host,
            "ads",
        )


@pytest.mark.shows("P-135")
@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:50051", "127.0.0.1", 50051), ("[::1]:1", "::1", 1), ("0.0.0.0:65535", "0.0.0.0", 65535)],
)
def test_the_listener_of_a_server_has_its_address_and_serves_every_call(
    address: str, host: str, port: int
) -> None:
    made = derived_listener(f"{SERVER}{address}")
    assert made is not None
    found = unpack(TypeUrl.LISTENER, made.packed)
    assert isinstance(found, EnvoyListener)

    socket = found.address.socket_address
    assert (found.name, socket.address, socket.port_value) == (f"{SERVER}{address}", host, port)
    assert not found.listener_filters
    ((only,),) = [one.routes for one in manager(found).route_config.virtual_hosts]
    assert only.WhichOneof("action") == "non_forwarding_action"
    assert not made.references


@pytest.mark.parametrize(
    "name",
    [
        "",
        "user",
        "user:",
        ":50051",
        "user:0",
        "user:65536",
        "user:5005\u0661",
        "USER:50051",
        "us er:50051",
        "user:1:2",
        "user\n:50051",
        f"{'u' * 301}:50051",
        "xdstp://authority/envoy.config.listener.v3.Listener/user:50051",
        SERVER,
        f"{SERVER}localhost:50051",
        f"{SERVER}127.0.0.1",
        f"{SERVER}127.0.0.1:0",
        f"{SERVER}127.0.0.999:50051",
        f"{SERVER}::1:50051",
        f"{SERVER}[127.0.0.1:50051",
        f"{SERVER}[::1%lo]:50051",
        f"{SERVER}127.0.0.1:50051 ",
        f"{SERVER}%s",
    ],
)
def test_what_has_no_listener(name: str) -> None:
    assert derived_listener(name) is None


# --- nothing but what gRPC reads ---------------------------------------------------------------------------


@pytest.mark.shows("P-134", "P-136", "P-139")
@pytest.mark.parametrize("policy", LbPolicy)
def test_a_cluster_has_nothing_that_grpc_does_not_read(policy: LbPolicy) -> None:
    limits = CircuitBreakers(max_connections=1, max_pending_requests=2, max_requests=3, max_retries=4)
    own = ServicePolicy(protocol=Protocol.GRPC, lb_policy=policy, circuit_breakers=limits)

    found = message(served(catalog(user=[instance(1)]), Policy(defaults=own)), TypeUrl.CLUSTER, "user")

    assert isinstance(found, Cluster)
    assert {field.name for field, _ in found.ListFields()} <= {
        "name",
        "type",
        "eds_cluster_config",
        "lb_policy",
        "load_balancing_policy",
        "circuit_breakers",
        "outlier_detection",
        "lrs_server",
    }
    assert found.type == Cluster.EDS
    assert found.lb_policy in {Cluster.ROUND_ROBIN, Cluster.RING_HASH}
    (threshold,) = found.circuit_breakers.thresholds
    assert {field.name: value.value for field, value in threshold.ListFields()} == {"max_requests": 3}


@pytest.mark.shows("P-131", "P-140")
@pytest.mark.parametrize("policy", LbPolicy)
def test_a_route_has_nothing_that_grpc_does_not_read(policy: LbPolicy) -> None:
    sources = (HashOn(kind=HashKind.HEADER, name="x-user"), HashOn(kind=HashKind.COOKIE, name="session"))
    own = ServicePolicy(
        protocol=Protocol.GRPC, lb_policy=policy, hash_on=(*sources, HashOn(kind=HashKind.SOURCE_IP))
    )
    routes = listener(route("shop", prefix="/a.B", user=1, order=2), route("shop", order=1))

    snapshot = served(
        catalog(user=[instance(1)], order=[instance(2)]), Policy(defaults=own, listeners=(routes,))
    )

    for host in snapshot.sets[TypeUrl.ROUTES].by_name:
        found = message(snapshot, TypeUrl.ROUTES, host)
        assert isinstance(found, RouteConfiguration)
        for one in found.virtual_hosts[0].routes:
            assert one.match.WhichOneof("path_specifier") in {"prefix", "path"}
            assert {field.name for field, _ in one.route.ListFields()} <= {
                "cluster",
                "weighted_clusters",
                "hash_policy",
            }
            kinds = [hashed.WhichOneof("policy_specifier") for hashed in one.route.hash_policy]
            assert kinds == (["header", "filter_state"] if policy in HASHED else [])


# --- what did not change -----------------------------------------------------------------------------------


def test_what_did_not_change_is_not_made_again() -> None:
    user, order = Service.of("user", [instance(1)]), Service.of("order", [instance(2)])
    policy = Policy(defaults=GRPC, listeners=(listener(route("shop", user=1)),))
    translator = Translator(Group(client=Client.GRPC))

    before = translator.translate(Catalog.of("dc1", [user, order]), policy, Secrets())
    moved = Service.of("order", [instance(3)])
    after = translator.translate(Catalog.of("dc1", [user, moved]), policy, Secrets())
    more = translator.translate(Catalog.of("dc1", [user, moved, Service.of("cart", [])]), policy, Secrets())

    assert again(before, after) == {"order"}
    assert again(after, more) == {"cart", "cart.service.consul", "cart.service.dc1.consul"}


def again(before: Translation, after: Translation) -> set[str]:
    known = {id(draft) for drafts in before.drafts.values() for draft in drafts.values()}
    return {
        draft.name for drafts in after.drafts.values() for draft in drafts.values() if id(draft) not in known
    }


def test_the_order_of_instances_and_services_changes_nothing() -> None:
    instances = [instance(number, weight=number % 3 + 1) for number in range(8)]
    there = served(catalog(user=instances, order=[]), Policy(defaults=GRPC))
    back = served(catalog(order=[], user=instances[::-1]), Policy(defaults=GRPC))

    assert [there.sets[kind].version for kind in TypeUrl] == [back.sets[kind].version for kind in TypeUrl]
