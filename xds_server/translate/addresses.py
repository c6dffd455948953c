"""Which endpoint addresses and ports an Envoy may be told to connect to.

Consul checks nothing: an instance can register the metadata service of the cloud, the proxy's own admin port
or a unix socket, and Envoy would connect (CVE-2021-32783 is this in another control plane).
"""

from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

from xds_server.model.policy import EndpointPolicy
from xds_server.model.problem import Code
from xds_server.translate import dotted, hostnames

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_PORT: Final = 65_535

_NAT64: Final = IPv6Network("64:ff9b::/96")

_EVERYWHERE: Final = ("0.0.0.0", "::")
_CIRCLE: Final = (
    "where the proxy itself listens, so that requests would go round in a circle; register the port of the "
    "service"
)

_LOOPBACK: Final = "set endpoints.allow_loopback if proxies and services share a host"

# Cloud metadata services that no rule about address classes covers.
_METADATA: Final[frozenset[Address]] = frozenset(
    {ip_address("fd00:ec2::254"), ip_address("100.100.100.200"), ip_address("168.63.129.16")}
)

# Wherever a class of IPv4 addresses has rules of its own; they are told apart one by one.
_SPECIAL: Final = (
    *(IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
    *(IPv4Network(address) for address in _METADATA if isinstance(address, IPv4Address)),
)

_KEPT: Final = 1_024
"""Addresses that are not ordinary are remembered; there are few of them, or the memory is of no use."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an endpoint is left out: the code, and the end of a sentence that begins with the address."""

    code: Code
    reason: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What can be said of an address whatever the settings are; `never` is why none of them allows it."""

    address: Address
    text: str
    is_loopback: bool
    never: str


class EndpointRules:
    """An `EndpointPolicy` made ready to be asked once for every endpoint.

    `listening` are the addresses and ports at which the proxy itself accepts connections.
    """

    def __init__(self, policy: EndpointPolicy, listening: Iterable[tuple[str, int]] = ()) -> None:
        self._allow = tuple(ip_network(text, strict=False) for text in policy.allow)
        self._deny = tuple(ip_network(text, strict=False) for text in policy.deny)
        self._deny_ports = policy.deny_ports
        self._allow_loopback = policy.allow_loopback
        self._listening = frozenset(listening)
        self._bounds = _bounds(
            (*_SPECIAL, *_of_ipv4(self._deny)), _of_ipv4(self._allow) if self._allow else None
        )

    def check(self, address: str, port: int) -> str | Refusal:
        """Give the address as Envoy is to see it, or why it may not.

        IPv4-mapped IPv6 addresses become plain IPv4, as the rules have to see through them.
        """
        number = dotted.number_of(address)
        # Nearly every endpoint is ordinary: no rule can have anything against it.
        if (
            number is not None
            and not bisect(self._bounds, number) & 1
            and 1 <= port <= MAX_PORT
            and port not in self._deny_ports
            and (address, port) not in self._listening
        ):
            return address
        known = _known(address)
        if known is None:
            return _no_address(address)
        if refusal := self._refused_port(port):
            return refusal
        if self._leads_back(known, port):
            return Refusal(Code.ENDPOINT_PORT_DENIED, f"has port {port}, {_CIRCLE}")
        reason = self._denied(known)
        return Refusal(Code.ENDPOINT_ADDRESS_DENIED, reason) if reason else known.text

    def check_name(self, name: str, port: int) -> str | Refusal:
        """Give a host name that the proxy may resolve, or why it may not; see `hostnames.host_name`.

        Which address it leads to cannot be told, so an allow-list of networks refuses every name.
        """
        if refusal := self._refused_port(port):
            return refusal
        if hostnames.means_this_machine(name):
            if self._listens_everywhere(port):
                return Refusal(Code.ENDPOINT_PORT_DENIED, f"has port {port}, {_CIRCLE}")
            reason = "" if self._allow_loopback else f"is a name of the proxy's own machine; {_LOOPBACK}"
        elif hostnames.is_metadata(name):
            reason = "is the name of a cloud's metadata service"
        else:
            reason = ""
        if not reason and self._allow:
            reason = "is a host name, and endpoints.allow cannot tell where it leads"
        return Refusal(Code.ENDPOINT_ADDRESS_DENIED, reason) if reason else name

    def _refused_port(self, port: int) -> Refusal | None:
        if not 1 <= port <= MAX_PORT:
            return Refusal(Code.ENDPOINT_PORT, f"has port {port}, which is not between 1 and 65535")
        if port in self._deny_ports:
            return Refusal(
                Code.ENDPOINT_PORT_DENIED,
                f"has port {port}, which belongs to Consul, xds-server or the proxy's own admin interface; "
                f"list it in endpoints.allow_ports if a service really listens there",
            )
        return None

    def _leads_back(self, known: _Known, port: int) -> bool:
        """Tell whether the proxy would connect to a listener of its own."""
        if known.is_loopback and self._listens_everywhere(port):
            return True
        return (known.text, port) in self._listening

    def _listens_everywhere(self, port: int) -> bool:
        return any((address, port) in self._listening for address in _EVERYWHERE)

    def _denied(self, known: _Known) -> str:
        if known.is_loopback and not self._allow_loopback:
            return f"is a loopback address; {_LOOPBACK}"
        if known.never:
            return known.never
        if any(known.address in network for network in self._deny):
            return "is in endpoints.deny"
        if self._allow and not any(known.address in network for network in self._allow):
            return "is not in endpoints.allow"
        return ""


def _of_ipv4(networks: Iterable[Network]) -> list[IPv4Network]:
    return [network for network in networks if isinstance(network, IPv4Network)]


def _bounds(denied: Iterable[IPv4Network], allowed: Iterable[IPv4Network] | None) -> tuple[int, ...]:
    """Give where rules begin and stop to bear on addresses, in turns; None allows every address.

    An address is ordinary where an even number of bounds is at or below it.
    """
    bearing = list(denied)
    if allowed is not None:
        rest = [IPv4Network("0.0.0.0/0")]
        for network in collapse_addresses(allowed):
            rest = [part for one in rest for part in _without(one, network)]
        bearing.extend(rest)
    bounds: list[int] = []
    for network in collapse_addresses(bearing):
        first, after = int(network.network_address), int(network.broadcast_address) + 1
        if bounds and bounds[-1] == first:
            bounds[-1] = after
        else:
            bounds.extend((first, after))
    return tuple(bounds)


def _without(network: IPv4Network, taken: IPv4Network) -> Iterable[IPv4Network]:
    if not network.overlaps(taken):
        return (network,)
    return network.address_exclude(taken) if taken.subnet_of(network) else ()


def _no_address(text: str) -> Refusal:
    if hostnames.host_name(text) is None:
        return Refusal(
            Code.ENDPOINT_ADDRESS, "is not an IP address; register the instance with its IP address"
        )
    return Refusal(
        Code.ENDPOINT_ADDRESS,
        "is not an IP address; register the instance with its IP address, or set `hostnames: resolve` "
        "for the service",
    )


@lru_cache(maxsize=_KEPT)
def _known(text: str) -> _Known | None:
    address = _parse(text)
    if address is None:
        return None
    return _Known(address, str(address), address.is_loopback, _never(address) or _never_behind(address))


def _parse(text: str) -> Address | None:
    """Read an IP address; None for anything else, and for a scoped IPv6 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _behind_translator(address: IPv6Address) -> IPv4Address | None:
    """Give the IPv4 address that a 6to4 or NAT64 address leads to (RFC 3056, RFC 6052), if it is one."""
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.sixtofour


def _never_behind(address: Address) -> str:
    """Say why no setting allows what an address leads to, or nothing."""
    behind = _behind_translator(address) if isinstance(address, IPv6Address) else None
    if behind is None:
        return ""
    reason = "is a loopback address" if behind.is_loopback else _never(behind)
    return reason and f"leads to {behind}, which {reason}"


def _never(address: Address) -> str:
    """Say why no setting allows an address, or nothing."""
    if address.is_unspecified:
        return "is the unspecified address"
    if address in _METADATA:
        return "is a cloud's metadata address"
    if address.is_link_local:
        return "is a link-local address, where metadata services live"
    if address.is_multicast or (isinstance(address, IPv4Address) and address.packed == b"\xff" * 4):
        return "is a multicast or broadcast address"
    return ""
