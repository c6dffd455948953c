"""A service's instances as gRPC clients understand weights and health.

gRPC balances by the weights of localities, and does not read those of endpoints (gRFC A27, "EDS"; seen with
gRPC C-core 1.85: two endpoints weighing 1 and 3 in one locality got half of the calls each). So a locality
whose endpoints differ in weight is given as several, one for each weight. A ring does read them, but
multiplies them by the weight of the locality (gRFC A42); for it all endpoints are in one.

gRPC takes no endpoint that is not healthy and knows no panic threshold, so what Envoy would do is done here.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from envoy.config.core.v3.health_check_pb2 import HealthStatus

from xds_server.model.catalog import Locality, Service
from xds_server.model.policy import Hostnames
from xds_server.model.problem import Problem
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.endpoints import assigned
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.packing import Draft
from xds_server.translate.places import Places
from xds_server.translate.proxyless_clusters import HASHED
from xds_server.translate.targets import Priorities, Target, targets

Level: TypeAlias = tuple[Target, ...]


def assignment(
    spec: ClusterSpec, services: Sequence[Service], rules: EndpointRules, places: Places
) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the ClusterLoadAssignment of a cluster for gRPC clients, and why any instance was left out.

    `services` are those of the cluster's picks, in their order, and `places` says how far they are.
    gRPC resolves no host name of an endpoint (gRFC A27, "EDS").
    """
    policy = replace(spec.policy, hostnames=Hostnames.DROP)
    listed, problems = targets(replace(spec, policy=policy), services, rules, places)
    levels = _in_rotation(listed, policy.panic_threshold)
    fit = _in_one_locality if policy.lb_policy in HASHED else _by_weight
    return assigned(spec.name, tuple(fit(level) for level in levels)), problems


def _in_rotation(listed: Priorities, panic_threshold: int) -> Priorities:
    """Give the endpoints that take traffic, by priority and without gaps, which gRPC refuses.

    They are the healthy ones; after them, as Envoy does, the degraded ones; and all where nowhere enough are
    either (Envoy, "Panic threshold").
    """
    healthy = _with(listed, HealthStatus.HEALTHY)
    degraded = _with(listed, HealthStatus.DEGRADED)
    if not all(
        100 * sum(one.status != HealthStatus.UNHEALTHY for one in level) < panic_threshold * len(level)
        for level in listed
    ):
        return (*healthy, *degraded)
    return tuple(tuple(one._replace(status=HealthStatus.HEALTHY) for one in level) for level in listed)


def _with(listed: Priorities, status: HealthStatus) -> Priorities:
    found = (tuple(one for one in level if one.status == status) for level in listed)
    return tuple(
        tuple(one._replace(status=HealthStatus.HEALTHY) for one in level) for level in found if level
    )


def _in_one_locality(level: Level) -> Level:
    return tuple(one._replace(locality=Locality()) for one in level)


def _by_weight(level: Level) -> Level:
    weights: defaultdict[Locality, set[int]] = defaultdict(set)
    for one in level:
        weights[one.locality].add(one.weight)
    return tuple(
        one if len(weights[one.locality]) == 1 else one._replace(locality=_weighing(one)) for one in level
    )


def _weighing(target: Target) -> Locality:
    """Name the part of a locality; two localities must not have the same name (gRFC A27)."""
    sub_zone = f"{target.locality.sub_zone}/weight-{target.weight}".lstrip("/")
    return replace(target.locality, sub_zone=sub_zone)
