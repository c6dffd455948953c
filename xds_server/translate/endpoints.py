"""The instances that a cluster leads to as a ClusterLoadAssignment.

An unhealthy instance stays listed: unhealthy is a state, and Envoy's panic threshold decides what it means
when no other is left.

The bytes are put together from those of the endpoints: to build one message of all of them takes nearly three
times as long, which counts where there are 100,000 (docs/decisions/0027-cold-start.md).
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from envoy.config.core.v3.base_pb2 import Locality as EnvoyLocality
from envoy.config.core.v3.health_check_pb2 import HealthStatus
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
from xds_server.translate.wire import framed, varint

# Envoy's default of 140 gives the next priority a share as soon as less than 72 % of one is healthy (Envoy,
# "Priority levels"). With this it gets one only when none is, as long as one has fewer than 1,000 instances.
_NONE_HEALTHY: Final = 100_000

# The weights of a locality, and those of the localities of a priority, must not add up to more than 32 bits
# (Envoy, "LocalityLbEndpoints"). Half of that leaves room for those that are rounded up to 1.
MAX_SUM: Final = 2**31

# `ClusterLoadAssignment.cluster_name` and `endpoints`, `LocalityLbEndpoints.lb_endpoints`.
_NAME: Final = b"\x0a"
_LOCALITY: Final = b"\x12"
_ENDPOINT: Final = b"\x12"

# `SocketAddress.port_value`, and a port for each number of bytes that the field may take.
_PORT: Final = b"\x18"
_WITH_BYTES: Final = {2: 1, 3: 0x80, 4: 0x4000}

_REMEMBERED: Final = 4_096

Place: TypeAlias = tuple[str, str, str]
"""Region, zone and sub-zone: a tuple is hashed and compared in a tenth of the time of a `Locality`."""

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


def assembled(cluster: str, localities: Iterable[bytes]) -> Draft:
    """Give the ClusterLoadAssignment of a cluster with one priority from the bytes of its localities."""
    return encoded(TypeUrl.ENDPOINTS, cluster, _joined(cluster, localities))


def _serialised(cluster: str, priorities: Priorities) -> bytes:
    """Give the bytes of the message, localities in sorted order."""
    localities = (one for priority, found in enumerate(priorities) for one in _localities(priority, found))
    joined = _joined(cluster, localities)
    return joined + _OVERFLOW if len(priorities) > 1 else joined


def _joined(cluster: str, localities: Iterable[bytes]) -> bytes:
    return framed(_NAME, cluster.encode()) + b"".join([framed(_LOCALITY, one) for one in localities])


def _localities(priority: int, found: tuple[Target, ...]) -> Iterator[bytes]:
    by_place: dict[Place, list[Target]] = {}
    by_object: dict[int, list[Target]] = {}
    for target in _within_sum(found):
        # Most targets share a few localities: to hash one each time would take longer than all the rest.
        members = by_object.get(id(target.locality))
        if members is None:
            members = by_object[id(target.locality)] = by_place.setdefault(place_of(target.locality), [])
        members.append(target)
    for place in sorted(by_place):
        members = by_place[place]
        weight = sum([target.weight for target in members])
        yield locality_bytes(place, map(endpoint_bytes, members), weight, priority)


def place_of(locality: Locality) -> Place:
    """Give what a locality is known by."""
    return locality.region, locality.zone, locality.sub_zone


def locality_bytes(place: Place, fields: Iterable[bytes], weight: int, priority: int) -> bytes:
    """Give a locality with its endpoints, which are fields of it, in the order of their addresses."""
    # gRPC clients skip a locality without a weight (gRFC A27); Envoy reads it only when asked to.
    return b"".join((_head(place), *fields, _tail(weight, priority)))


def _within_sum(found: tuple[Target, ...]) -> tuple[Target, ...]:
    """Give the targets of a priority, with smaller weights where their sum would be too large for Envoy."""
    divisor = -(-sum([target.weight for target in found]) // MAX_SUM)
    if divisor <= 1:
        return found
    return tuple(target._replace(weight=max(1, target.weight // divisor)) for target in found)


@lru_cache(maxsize=1024)
def _head(place: Place) -> bytes:
    """Give what comes before the endpoints of a locality."""
    region, zone, sub_zone = place
    named = EnvoyLocality(region=region, zone=zone, sub_zone=sub_zone)
    return LocalityLbEndpoints(locality=named).SerializeToString(deterministic=True)


@lru_cache(maxsize=1024)
def _tail(weight: int, priority: int) -> bytes:
    """Give what comes after the endpoints of a locality."""
    return LocalityLbEndpoints(
        load_balancing_weight=UInt32Value(value=weight), priority=priority
    ).SerializeToString(deterministic=True)


def endpoint_bytes(target: Target) -> bytes:
    """Give an endpoint as a field of its locality: what is its own is put into what many have around it."""
    host, port = target.host.encode(), _port(target.port)
    before, after = _around(len(host), len(port), target.status, target.weight)
    return before + host + port + after


@lru_cache(maxsize=_REMEMBERED)
def _port(number: int) -> bytes:
    return _PORT + varint(number)


@lru_cache(maxsize=_REMEMBERED)
def _around(host: int, port: int, status: HealthStatus, weight: int) -> tuple[bytes, bytes]:
    """Give what comes before and after the host and the port of an endpoint, by how many bytes they have."""
    message = LbEndpoint(health_status=status, load_balancing_weight=UInt32Value(value=weight))
    socket = message.endpoint.address.socket_address
    socket.address, socket.port_value = "x" * host, _WITH_BYTES[port]
    own = socket.address.encode() + _port(socket.port_value)
    before, _, after = framed(_ENDPOINT, message.SerializeToString(deterministic=True)).partition(own)
    return before, after
