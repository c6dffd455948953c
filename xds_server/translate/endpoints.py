"""The instances that a cluster leads to as a ClusterLoadAssignment.

An unhealthy instance stays listed: unhealthy is a state, and Envoy's panic threshold decides what it means
when no other is left.

The bytes are put together from those of the endpoints: to build one message of all of them takes nearly three
times as long, which counts where there are 100,000 (docs/decisions/0027-cold-start.md).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from envoy.config.core.v3.base_pb2 import Locality as EnvoyLocality
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.catalog import Locality, Service
from xds_server.model.problem import Problem
from xds_server.model.types import TypeUrl
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.packing import Draft, encoded
from xds_server.translate.places import Places
from xds_server.translate.targets import Priorities, Target, targets
from xds_server.translate.wire import framed

# Envoy's default of 140 gives the next priority a share as soon as less than 72 % of one is healthy (Envoy,
# "Priority levels"). With this it gets one only when none is, as long as one has fewer than 1,000 instances.
_NONE_HEALTHY: Final = 100_000

# The weights of a locality, and those of the localities of a priority, must not add up to more than 32 bits
# (Envoy, "LocalityLbEndpoints"). Half of that leaves room for those that are rounded up to 1.
_MAX_SUM: Final = 2**31

# `ClusterLoadAssignment.cluster_name` and `endpoints`, `LocalityLbEndpoints.lb_endpoints`.
_NAME: Final = b"\x0a"
_LOCALITY: Final = b"\x12"
_ENDPOINT: Final = b"\x12"

_OVERFLOW: Final = ClusterLoadAssignment(
    policy=ClusterLoadAssignment.Policy(overprovisioning_factor=UInt32Value(value=_NONE_HEALTHY))
).SerializeToString(deterministic=True)
"""The policy of an assignment with several priorities."""


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
    return encoded(TypeUrl.ENDPOINTS, cluster, _serialised(cluster, priorities))


def load_assignment(cluster: str, priorities: Priorities) -> ClusterLoadAssignment:
    """Give the same as a message."""
    return ClusterLoadAssignment.FromString(_serialised(cluster, priorities))


def _serialised(cluster: str, priorities: Priorities) -> bytes:
    """Give the bytes of the message, localities in sorted order."""
    parts = [framed(_NAME, cluster.encode())]
    message = LbEndpoint()
    for priority, found in enumerate(priorities):
        parts += [framed(_LOCALITY, one) for one in _localities(priority, found, message)]
    if len(priorities) > 1:
        parts.append(_OVERFLOW)
    return b"".join(parts)


def _localities(priority: int, found: tuple[Target, ...], message: LbEndpoint) -> Iterator[bytes]:
    by_locality: dict[Locality, list[Target]] = {}
    by_object: dict[int, list[Target]] = {}
    for target in _within_sum(found):
        # Most targets share a few localities: to hash one each time would take longer than all the rest.
        members = by_object.get(id(target.locality))
        if members is None:
            members = by_object[id(target.locality)] = by_locality.setdefault(target.locality, [])
        members.append(target)
    for locality in sorted(by_locality):
        members = by_locality[locality]
        yield b"".join(
            (
                _head(locality),
                *_endpoints(members, message),
                # gRPC clients skip a locality without a weight (gRFC A27); Envoy reads it only when asked to.
                _tail(sum([target.weight for target in members]), priority),
            )
        )


def _within_sum(found: tuple[Target, ...]) -> tuple[Target, ...]:
    """Give the targets of a priority, with smaller weights where their sum would be too large for Envoy."""
    divisor = -(-sum([target.weight for target in found]) // _MAX_SUM)
    if divisor <= 1:
        return found
    return tuple(target._replace(weight=max(1, target.weight // divisor)) for target in found)


@lru_cache(maxsize=1024)
def _head(locality: Locality) -> bytes:
    """Give what comes before the endpoints of a locality."""
    named = EnvoyLocality(region=locality.region, zone=locality.zone, sub_zone=locality.sub_zone)
    return LocalityLbEndpoints(locality=named).SerializeToString(deterministic=True)


@lru_cache(maxsize=1024)
def _tail(weight: int, priority: int) -> bytes:
    """Give what comes after the endpoints of a locality."""
    return LocalityLbEndpoints(
        load_balancing_weight=UInt32Value(value=weight), priority=priority
    ).SerializeToString(deterministic=True)


def _endpoints(members: list[Target], message: LbEndpoint) -> Iterator[bytes]:
    """Give the fields of the endpoints of a locality: one message is filled in again and again."""
    socket, weight = message.endpoint.address.socket_address, message.load_balancing_weight
    for target in members:
        socket.address, socket.port_value = target.host, target.port
        message.health_status, weight.value = target.status, target.weight
        yield framed(_ENDPOINT, message.SerializeToString(deterministic=True))
