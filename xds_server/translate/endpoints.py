"""The instances that a cluster leads to as a ClusterLoadAssignment.

An unhealthy instance stays listed: unhealthy is a state, and Envoy's panic threshold decides what it means
when no other is left.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import Locality as EnvoyLocality
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.catalog import Locality, Service
from xds_server.model.problem import Problem
from xds_server.model.types import TypeUrl
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.packing import Draft, draft
from xds_server.translate.places import Places
from xds_server.translate.targets import Priorities, Target, targets

# Envoy's default of 140 gives the next priority a share as soon as less than 72 % of one is healthy (Envoy,
# "Priority levels"). With this it gets one only when none is, as long as one has fewer than 1,000 instances.
_NONE_HEALTHY: Final = 100_000

# The weights of a locality, and those of the localities of a priority, must not add up to more than 32 bits
# (Envoy, "LocalityLbEndpoints"). Half of that leaves room for those that are rounded up to 1.
_MAX_SUM: Final = 2**31


def assignment(
    spec: ClusterSpec, services: Sequence[Service], rules: EndpointRules, places: Places
) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the ClusterLoadAssignment of a cluster and why any instance was left out.

    `services` are those of the cluster's picks, in their order, and `places` says how far they are.
    A cluster without a usable instance gets an explicit empty assignment, so that none waits in warming
    (xDS protocol, "Resource warming").
    """
    priorities, problems = targets(spec, services, rules, places)
    return assigned(spec.name, priorities), problems


def assigned(cluster: str, priorities: Priorities) -> Draft:
    """Give the ClusterLoadAssignment of a cluster from its endpoints by priority."""
    return draft(TypeUrl.ENDPOINTS, cluster, load_assignment(cluster, priorities))


def load_assignment(cluster: str, priorities: Priorities) -> ClusterLoadAssignment:
    """Give the same as a message, localities in sorted order."""
    message = ClusterLoadAssignment(
        cluster_name=cluster,
        endpoints=[
            locality for priority, found in enumerate(priorities) for locality in _localities(priority, found)
        ],
    )
    if len(priorities) > 1:
        message.policy.overprovisioning_factor.value = _NONE_HEALTHY
    return message


def _localities(priority: int, found: tuple[Target, ...]) -> Iterator[LocalityLbEndpoints]:
    by_locality: defaultdict[Locality, list[Target]] = defaultdict(list)
    for target in _within_sum(found):
        by_locality[target.locality].append(target)
    for locality in sorted(by_locality):
        members = by_locality[locality]
        yield LocalityLbEndpoints(
            locality=EnvoyLocality(region=locality.region, zone=locality.zone, sub_zone=locality.sub_zone),
            lb_endpoints=[_endpoint(target) for target in members],
            # gRPC clients skip a locality without a weight (gRFC A27); Envoy reads it only when asked to.
            load_balancing_weight=UInt32Value(value=sum(target.weight for target in members)),
            priority=priority,
        )


def _within_sum(found: tuple[Target, ...]) -> tuple[Target, ...]:
    """Give the targets of a priority, with smaller weights where their sum would be too large for Envoy."""
    divisor = -(-sum(target.weight for target in found) // _MAX_SUM)
    if divisor <= 1:
        return found
    return tuple(replace(target, weight=max(1, target.weight // divisor)) for target in found)


def _endpoint(target: Target) -> LbEndpoint:
    socket = SocketAddress(address=target.host, port_value=target.port)
    return LbEndpoint(
        endpoint=Endpoint(address=Address(socket_address=socket)),
        health_status=target.status,
        load_balancing_weight=UInt32Value(value=target.weight),
    )
