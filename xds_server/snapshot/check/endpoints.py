"""The endpoints of an assignment: what makes one of them wrong, and what makes all of them wrong.

Envoy rejects a whole response for one weight of 0 or one host name among the addresses, and with it the
changes of every other service. So one that is bad is taken out here.
"""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from envoy.config.core.v3.address_pb2 import SocketAddress
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from xds_server.snapshot.check.fields import broken
from xds_server.snapshot.check.limits import ENDPOINTS
from xds_server.snapshot.check.rules import shown
from xds_server.snapshot.check.text import told
from xds_server.translate import dotted

_EACH: Final = LocalityLbEndpoints.DESCRIPTOR.fields_by_name["lb_endpoints"].full_name
"""The field of the endpoints, which are looked at one by one."""

_AROUND: Final = frozenset({_EACH})

LARGEST_SUM: Final = 2**32 - 1
"""Of the weights of a locality, and of the localities of a priority."""

_REMEMBERED: Final = 65_536


def without_bad_endpoints(message: ClusterLoadAssignment) -> tuple[str, ...]:
    """Take the bad endpoints out of an assignment; give a sentence for each."""
    told_of: list[str] = []
    taken: set[tuple[str, int]] = set()
    for locality in message.endpoints:
        bad = []
        for number, endpoint in enumerate(locality.lb_endpoints):
            encoded = endpoint.SerializeToString(deterministic=True)
            socket = endpoint.endpoint.address.socket_address
            address = (socket.address, socket.port_value)
            fault = _fault(encoded)
            if not fault and address in taken:
                fault = "its address is in the assignment already."
            if fault:
                bad.append(number)
                told_of.append(f"endpoint {_where(endpoint)} is left out: {fault}")
            else:
                taken.add(address)
        for number in reversed(bad):
            del locality.lb_endpoints[number]
    return tuple(told_of)


def assignment_faults(message: ClusterLoadAssignment) -> Iterator[str]:
    """Say what makes an assignment wrong that has no bad endpoint any more.

    Envoy, "Cluster configuration - Endpoints": sums of weights; gRFC A27: localities and priorities.
    """
    if fault := too_many(sum(len(locality.lb_endpoints) for locality in message.endpoints)):
        yield fault
    for locality in message.endpoints:
        weights = sum(one.load_balancing_weight.value or 1 for one in locality.lb_endpoints)
        if weights > LARGEST_SUM:
            yield f"the weights of locality {_name(locality)} sum up to more than {LARGEST_SUM}."
    yield from around_faults(message)


def too_many(count: int) -> str:
    """Say why an assignment may not have so many endpoints; empty if it may."""
    if count <= ENDPOINTS:
        return ""
    return f"it has {count} endpoints, more than {ENDPOINTS}; look for what is registered many times over."


def around_faults(message: ClusterLoadAssignment) -> Iterator[str]:
    """Say what is wrong with an assignment around its endpoints."""
    yield from told(broken(message, _AROUND))
    seen: set[tuple[int, str]] = set()
    sums: dict[int, int] = {}
    for locality in message.endpoints:
        place = (locality.priority, _name(locality))
        if place in seen:
            yield f"locality {place[1]} is there twice with priority {place[0]}."
        seen.add(place)
        sums[locality.priority] = sums.get(locality.priority, 0) + locality.load_balancing_weight.value
    for priority, weights in sorted(sums.items()):
        if weights > LARGEST_SUM:
            yield f"the weights of the localities of priority {priority} sum up to more than {LARGEST_SUM}."
    if sums and max(sums) != len(sums) - 1:
        yield f"there are priorities missing before {max(sums)}."


@lru_cache(maxsize=_REMEMBERED)
def _fault(encoded: bytes) -> str:
    """Say what is wrong with an endpoint, given as bytes so that it is asked once; empty if nothing."""
    message = LbEndpoint.FromString(encoded)
    faults = told(broken(message))
    return faults[0] if faults else _address_fault(message)


def _address_fault(message: LbEndpoint) -> str:
    """Say why Envoy could not connect to an endpoint of an EDS cluster: it resolves no names there."""
    address = message.endpoint.address
    if not address.HasField("socket_address"):
        return "it has no IP address with a port."
    socket = address.socket_address
    if not is_address(socket.address):
        return f"{shown(socket.address)} is not an IP address."
    if not socket.port_value:
        return "port 0 is no port to connect to."
    return "it speaks UDP." if socket.protocol == SocketAddress.UDP else ""


def is_address(text: str) -> bool:
    """Tell whether Envoy reads a text as an IP address: no name, no scope, no zeros in front."""
    if dotted.number_of(text) is not None:
        return True
    try:
        found = ip_address(text)
    except ValueError:
        return False
    return not (isinstance(found, IPv6Address) and found.scope_id is not None)


def _where(endpoint: LbEndpoint) -> str:
    socket = endpoint.endpoint.address.socket_address
    return f"{shown(socket.address)} port {socket.port_value}"


def _name(locality: LocalityLbEndpoints) -> str:
    one = locality.locality
    return shown(f"{one.region}/{one.zone}/{one.sub_zone}")
