"""A compiled discovery chain: router, splitters and resolvers of one service as Consul has put them together.

https://developer.hashicorp.com/consul/api-docs/discovery-chain . Node and target names are Consul's keys;
a chain refers to its parts by them, and the decoder has made sure that each is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from xds_server.model.policy import HashOn, LbPolicy
from xds_server.model.route import NO_CHANGES, HeaderChanges, RouteMatch, Treatment


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Instances of one service, or of a subset of it, in one datacenter.

    `name` is the cluster's name as Consul makes it (`v2.web.default.dc1.internal.<trust domain>`), which is
    the SNI as well unless `sni` differs (service-defaults ExternalSNI). `filter` is a filter expression of
    Consul over health rows, empty for all; with `only_passing` an instance with a warning is out too.
    """

    id: str
    name: str
    sni: str
    service: str
    subset: str = ""
    datacenter: str = ""
    filter: str = ""
    only_passing: bool = False
    connect_timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """How a resolver picks an instance; `None` leaves it to the service's policy."""

    policy: LbPolicy | None = None
    hash_on: tuple[HashOn, ...] = ()
    ring_size: tuple[int | None, int | None] = (None, None)
    choices: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """The end of the way: a target, and the ids of those that take over in order when it has none healthy."""

    target: str
    failover: tuple[str, ...] = ()
    connect_timeout: float | None = None
    request_timeout: float | None = None
    load_balancer: LoadBalancer = LoadBalancer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A share in hundredths of a percent (10,000 is all) of what goes on to the node `next`."""

    weight: int
    next: str
    request: HeaderChanges = NO_CHANGES
    response: HeaderChanges = NO_CHANGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitter:
    """Divides requests; the shares add up to 10,000."""

    splits: tuple[Split, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRoute:
    """One route of a router; the last one of a router takes everything."""

    match: RouteMatch
    treatment: Treatment
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Chooses by what a request is like, the first that matches."""

    routes: tuple[ChainRoute, ...]


Node: TypeAlias = Router | Splitter | Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The chain of `service`. Ways from `start` through `nodes` end at resolvers, without a circle."""

    service: str
    protocol: str
    start: str
    nodes: Mapping[str, Node]
    targets: Mapping[str, Target]

    @classmethod
    def of(
        cls, service: str, protocol: str, start: str, nodes: Mapping[str, Node], targets: Mapping[str, Target]
    ) -> "Chain":
        """Make a chain from parts in any order."""
        return cls(
            service=service,
            protocol=protocol,
            start=start,
            nodes=MappingProxyType(dict(sorted(nodes.items()))),
            targets=MappingProxyType(dict(sorted(targets.items()))),
        )
