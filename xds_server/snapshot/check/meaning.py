"""What Envoy holds against a resource beyond the rules of its fields, as far as translation can emit it.

Each is from Envoy's source, where it reads that resource: a name that is there twice, numbers that do not go
together. All are read from one message alone.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import isqrt
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch
from envoy.config.listener.v3.listener_pb2 import Listener

from xds_server.model.types import TypeUrl
from xds_server.snapshot.check.endpoints import is_address
from xds_server.snapshot.check.routes import virtual_host_faults
from xds_server.snapshot.check.rules import nanoseconds, shown
from xds_server.snapshot.check.text import twice

_DEFAULT_LARGEST_RING: Final = 8 * 1024 * 1024
_DEFAULT_LEAST_RING: Final = 1024
_DEFAULT_EJECTION: Final = 30 * 1_000_000_000


def meaning_faults(type_url: TypeUrl, message: Any) -> Iterator[str]:
    """Say what is wrong with a message that keeps the rules of its fields."""
    check = _CHECKS.get(type_url)
    if check is not None:
        yield from check(message)


def claims(type_url: TypeUrl, message: Any) -> tuple[str, ...]:
    """Give what a resource takes that no other may take too: the addresses a listener listens on."""
    if type_url is not TypeUrl.LISTENER or not message.HasField("address"):
        return ()
    addresses = (message.address, *(one.address for one in message.additional_addresses))
    sockets = [one.socket_address for one in addresses if one.HasField("socket_address")]
    # Port 0 is any free port.
    return tuple(f"{one.address} port {one.port_value}" for one in sockets if one.port_value)


def _cluster(message: Cluster) -> Iterator[str]:
    ring = message.ring_hash_lb_config
    least = ring.minimum_ring_size.value if ring.HasField("minimum_ring_size") else _DEFAULT_LEAST_RING
    most = ring.maximum_ring_size.value if ring.HasField("maximum_ring_size") else _DEFAULT_LARGEST_RING
    if message.HasField("ring_hash_lb_config") and least > most:
        yield f"ring_hash_lb_config: a ring of at least {least} and at most {most} entries is none."
    maglev = message.maglev_lb_config
    # Its rule for the field says how large it may be, so that this is soon counted.
    if maglev.HasField("table_size") and not _is_prime(maglev.table_size.value):
        yield f"maglev_lb_config.table_size: {maglev.table_size.value} is no prime number."
    outlier = message.outlier_detection
    base = nanoseconds(outlier.base_ejection_time) or _DEFAULT_EJECTION
    if outlier.HasField("max_ejection_time") and nanoseconds(outlier.max_ejection_time) < base:
        yield "outlier_detection.max_ejection_time is shorter than base_ejection_time."


@lru_cache(maxsize=16)
def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, isqrt(number) + 1))


def _listener(message: Listener) -> Iterator[str]:
    if not message.HasField("api_listener") and not message.HasField("address"):
        yield "address: has to be set."
    socket = message.address.socket_address
    if message.address.HasField("socket_address") and not is_address(socket.address):
        yield f"{shown(socket.address)} is not an IP address."
    yield from twice("filter chain for", (key for chain in message.filter_chains for key in _matches(chain)))


def _matches(chain: FilterChain) -> Iterator[str]:
    """Give a text for each server name that a chain is for, along with its other conditions."""
    rest = FilterChainMatch()
    rest.CopyFrom(chain.filter_chain_match)
    names = tuple(rest.server_names) or ("any server name",)
    rest.ClearField("server_names")
    for name in names:
        yield f"{name} {rest.SerializeToString(deterministic=True).hex()}".strip()


_CHECKS: Final[Mapping[TypeUrl, Callable[[Any], Iterator[str]]]] = {
    TypeUrl.CLUSTER: _cluster,
    TypeUrl.LISTENER: _listener,
    TypeUrl.VIRTUAL_HOST: virtual_host_faults,
}
