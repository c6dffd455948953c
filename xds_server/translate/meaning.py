"""What a service name means to a proxy: which clusters stand behind it, and how requests find them.

A plain service is one cluster under its own name. Subsets, named ports and Consul's discovery chain
(`translate.chains`) give it more of them, and conditions on the way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import gcd, lcm
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.model.policy import ServicePolicy, WeightedService
from xds_server.model.route import Branch, Rule
from xds_server.translate import names

Part: TypeAlias = tuple[str, str]
"""A subset and a named port of a service; an empty text means all instances, or the default port."""

WHOLE: Final[Part] = ("", "")

# Envoy refuses a split whose weights add up to more (RouteAction.weighted_clusters).
_MAX_TOTAL: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Instances that a cluster leads to: those of `service` that `filter` takes, on its port `port`.

    `filter` is a filter expression of Consul. Without a `datacenter` the service's instances of other
    datacenters take over when none here is healthy.
    """

    service: str
    filter: str = ""
    only_passing: bool = False
    datacenter: str = ""
    port: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """What one Envoy cluster is to be; each pick takes over when those before it have none healthy."""

    name: str
    policy: ServicePolicy
    picks: tuple[Pick, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What stands behind a service name.

    `rules` are for the hosts that mean this service; `ways` are for routes that lead to a part of it.
    """

    policy: ServicePolicy
    clusters: tuple[ClusterSpec, ...]
    rules: tuple[Rule, ...]
    ways: Mapping[Part, tuple[Branch, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How the instances of a service are told apart by their own words.

    `subsets` are (name, filter expression); `canary` is the filter of those without a share of the whole;
    `ports` are the names of its ports.
    """

    subsets: tuple[tuple[str, str], ...] = ()
    canary: str = ""
    ports: tuple[str, ...] = ()


NO_PARTS: Final = Parts()
"""Of most services; one object for all."""


def plain(service: str, policy: ServicePolicy, parts: Parts) -> Meaning:
    """Give the meaning of a service without a discovery chain: a cluster for all of it, one for each part."""
    whole = f"not ({parts.canary})" if parts.canary else ""
    specs = {WHOLE: _spec(names.cluster(service), policy, Pick(service=service, filter=whole))}
    for port in parts.ports:
        pick = Pick(service=service, filter=whole, port=port)
        specs["", port] = _spec(names.port_cluster(service, port), policy, pick)
    for subset, expression in parts.subsets:
        pick = Pick(service=service, filter=expression)
        name = names.subset_cluster(service, subset)
        specs[subset, ""] = _spec(name, policy, pick)
        for port in parts.ports:
            specs[subset, port] = _spec(names.port_cluster(name, port), policy, replace(pick, port=port))
    ways = {part: (Branch(cluster=spec.name),) for part, spec in specs.items()}
    return Meaning(
        policy=policy,
        clusters=tuple(specs.values()),
        rules=(Rule(branches=ways[WHOLE], source=f'service "{service}"'),),
        ways=MappingProxyType(ways),
    )


def _spec(name: str, policy: ServicePolicy, pick: Pick) -> ClusterSpec:
    return ClusterSpec(name=name, policy=policy, picks=(pick,))


def branches(targets: Iterable[WeightedService], meanings: Mapping[str, Meaning]) -> tuple[Branch, ...]:
    """Put the targets of a split together: each one's weight is divided among its own branches.

    Every target has to have its part in `meanings`.
    """
    return combined(
        (target.weight, meanings[target.service].ways[target.subset, target.port]) for target in targets
    )


def combined(ways: Iterable[tuple[int, Iterable[Branch]]]) -> tuple[Branch, ...]:
    """Divide each weight among the branches of its way, in exact relation; what has no share is left out."""
    shared = [(weight, tuple(branch for branch in way if branch.weight)) for weight, way in ways]
    shared = [(weight, way) for weight, way in shared if weight and way]
    whole = lcm(*(sum(branch.weight for branch in way) for _, way in shared))
    shares: dict[Branch, int] = {}
    for weight, way in shared:
        unit = weight * whole // sum(branch.weight for branch in way)
        for branch in way:
            key = replace(branch, weight=1)
            shares[key] = shares.get(key, 0) + unit * branch.weight
    return tuple(
        replace(branch, weight=weight)
        for branch, weight in zip(shares, _bounded(tuple(shares.values())), strict=True)
    )


def _bounded(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Give weights in the same relation, the very ones if Envoy takes them; none becomes 0."""
    if sum(weights) <= _MAX_TOTAL:
        return weights
    common = gcd(*weights)
    weights = tuple(weight // common for weight in weights)
    total = sum(weights)
    if total <= _MAX_TOTAL:
        return weights
    return tuple(max(1, weight * (_MAX_TOTAL - len(weights)) // total) for weight in weights)
