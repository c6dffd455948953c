"""Catalogs, policies and secrets for the tests of the pure floors."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from xds_server.model.catalog import Catalog, Instance, Locality, Service, Status, Weights
from xds_server.model.policy import (
    DEFAULT_LISTENER,
    DownstreamTls,
    EndpointPolicy,
    HashKind,
    HashOn,
    LbPolicy,
    Listener,
    ListenerKind,
    OutlierDetection,
    Policy,
    Protocol,
    Route,
    ServicePolicy,
    UpstreamTls,
    WeightedService,
)
from xds_server.model.route import RouteMatch
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.translate import Translation

T = TypeVar("T")

SERVICES = (
    "Web",
    "a.b",
    "cart",
    "consul",
    "db",
    "greeter",
    "user",
    "user.service.consul",
    "web",
    "xds_cluster",
)
ADDRESSES = (
    "10.0.0.1",
    "10.0.0.2",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "127.0.0.1",
    "169.254.169.254",
    "x",
    "",
)

SECRETS = Secrets(
    by_name={
        "ca": Secret(name="ca", trusted_ca=b"ca"),
        "edge": Secret(name="edge", certificate_chain=b"chain", private_key=b"key", trusted_ca=b"ca"),
    }
)

POLICY = Policy(
    services={
        "cart": ServicePolicy(
            lb_policy=LbPolicy.MAGLEV, hash_on=(HashOn(kind=HashKind.COOKIE, name="session"),)
        ),
        "db": ServicePolicy(protocol=Protocol.TCP, tls=UpstreamTls(ca="ca", sans=("db.example.com",))),
        "greeter": ServicePolicy(protocol=Protocol.GRPC, outlier_detection=OutlierDetection(interval=0.5)),
    },
    listeners=(
        DEFAULT_LISTENER,
        Listener(
            name="edge",
            address="0.0.0.0",
            port=10443,
            tls=DownstreamTls(certificate="edge", client_ca="edge"),
            routes=(
                Route(
                    hosts=("shop.example.com", "*.example.com"),
                    match=RouteMatch.below("/"),
                    targets=(WeightedService(service="web", weight=9), WeightedService(service="cart")),
                    source="routes[0]",
                ),
                Route(
                    hosts=("shop.example.com",),
                    match=RouteMatch.below("/user"),
                    targets=(WeightedService(service="user"),),
                    source="routes[1]",
                ),
            ),
            all_services=True,
            source="listeners[0]",
        ),
        Listener(
            name="db",
            address="127.0.0.1",
            port=15432,
            kind=ListenerKind.TCP,
            targets=(WeightedService(service="db"),),
            source="listeners[1]",
        ),
    ),
    endpoints=EndpointPolicy(deny_ports=frozenset({8500})),
)
"""One of everything."""


def instance(identity: str = "user-1", address: str = "10.0.0.1", port: int = 8080) -> Instance:
    return Instance(node="n1", id=identity, address=address, port=port)


def service(name: str = "user", *instances: Instance) -> Service:
    return Service.of(name, instances or (instance(f"{name}-1"),))


def catalog(*services: Service) -> Catalog:
    return Catalog.of("dc1", services)


def drafts(translation: Translation, type_url: TypeUrl) -> Mapping[str, object]:
    return translation.drafts[type_url]


_words = st.sampled_from(["", "a", "b", "%X%", "\r\n"])


@st.composite
def _instances(draw: st.DrawFn) -> Instance:
    statuses = draw(st.sets(st.sampled_from(Status), max_size=3))
    return Instance(
        node="",
        id="",
        address=draw(st.sampled_from(ADDRESSES)),
        port=draw(st.sampled_from([8080, 8081, 8500, 0, 70000])),
        tags=tuple(draw(st.lists(_words, max_size=3))),
        meta=tuple(draw(st.dictionaries(_words, _words, max_size=3)).items()),
        weights=Weights(passing=draw(st.integers(-1, 70_000)), warning=draw(st.integers(-1, 70_000))),
        statuses=tuple(sorted(statuses)),
        locality=Locality(region=draw(_words), zone=draw(_words)),
    )


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """Give a catalog with twins, duplicates and bad addresses; no two instances share node and id."""
    found = []
    for name in draw(st.sets(st.sampled_from(SERVICES))):
        keys = draw(st.sets(st.tuples(st.sampled_from("xyz"), st.sampled_from("123")), max_size=5))
        ones = [replace(draw(_instances()), node=node, id=identity) for node, identity in sorted(keys)]
        found.append(Service.of(name, ones))
    return Catalog.of("dc1", found)


def shuffled(original: Catalog, random: Random) -> Catalog:
    """Give the same catalog, made from parts in another order."""
    services = [
        Service.of(
            one.name, _any_order([_shuffled_instance(member, random) for member in one.instances], random)
        )
        for one in original.services.values()
    ]
    return Catalog.of(original.datacenter, _any_order(services, random))


def _shuffled_instance(one: Instance, random: Random) -> Instance:
    return replace(
        one,
        **{
            field: tuple(_any_order(list(getattr(one, field)), random))
            for field in ("tags", "meta", "statuses", "tagged")
        },
    )


def shuffled_policy(original: Policy, random: Random) -> Policy:
    """Give the same policy, its services in another order. That of listeners and routes has a meaning."""
    return Policy(
        services=dict(_any_order(list(original.services.items()), random)),
        listeners=original.listeners,
        endpoints=original.endpoints,
    )


def _any_order(values: list[T], random: Random) -> list[T]:
    return random.sample(values, len(values))
