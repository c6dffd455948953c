"""Addresses, hosts and names as an operator writes them."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from xds_server.reading import quoted

_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_MAX_PORT: Final = 65535
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", re.ASCII)
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?", re.ASCII)
_MAX_HOST: Final = 253
_SCHEME_PORTS: Final = {"http": 80, "https": 443}


class AddressError(Exception):
    """An address is not one; the text is a sentence for the operator."""


def is_host(text: str) -> bool:
    """Tell whether `text` is a DNS name in lower case, without a final dot."""
    return len(text) <= _MAX_HOST and _HOST.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Tell whether `text` may name a listener or a secret."""
    return _NAME.fullmatch(text) is not None


def as_ip(text: str) -> str | None:
    """Give an IP address in its shortest form; None if `text` is none. A zone (`%eth0`) makes it none."""
    try:
        return None if "%" in text else str(ipaddress.ip_address(text))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine's loopback: an address of it, or the name `localhost`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_port(host: str, port: int) -> str:
    """Join `HOST:PORT`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(text: str) -> tuple[str, int]:
    """Split `HOST:PORT`, with brackets around IPv6. Raises `AddressError`."""
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        raise AddressError(f"{quoted(text)} does not end in a port from 0 to {_MAX_PORT}; write HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        address = as_ip(host[1:-1])
        if address is None or ":" not in address:
            raise AddressError(f"{quoted(text)} has no IPv6 address in its brackets")
        return address, int(port)
    if ":" in host:
        raise AddressError(f"{quoted(text)} needs brackets around the IPv6 address, as in [::1]:18000")
    address = as_ip(host)
    if address is None and (not is_host(host.lower()) or host.replace(".", "").isdigit()):
        raise AddressError(
            f"{quoted(text)} does not begin with an IP address or a host name; write HOST:PORT"
        )
    return address or host, int(port)


def ip_and_port(text: str) -> tuple[str, int]:
    """Split `IP:PORT` of a listener: Envoy binds to addresses, not to names. Raises `AddressError`."""
    host, port = host_and_port(text)
    if as_ip(host) is None:
        raise AddressError(f"{quoted(text)} has a name where Envoy needs an IP address, as in 0.0.0.0:10000")
    if port == 0:
        raise AddressError(f"{quoted(text)} needs a port from 1 to {_MAX_PORT}")
    return host, port


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulAddress:
    """Consul's address: the whole URL, and host and port of it (empty and 0 for a unix socket)."""

    url: str
    host: str = ""
    port: int = 0


def consul_address(text: str, *, tls: bool) -> ConsulAddress:
    """Read an address as Consul's own clients read CONSUL_HTTP_ADDR (hashicorp/consul, api/api.go).

    The scheme may be missing; a path prefix needs one; without a port it is the scheme's; `tls` (from
    CONSUL_HTTP_SSL) is never reverted to plain HTTP. Raises `AddressError`.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if scheme == "unix":
        if not rest.startswith("/") or not rest.isprintable():
            raise AddressError(
                f"{quoted(text)} needs the whole path of the socket, as in unix:///run/consul.sock"
            )
        return ConsulAddress(url=f"unix://{rest}")
    if scheme not in _SCHEME_PORTS:
        raise AddressError(f"{quoted(text)} has an unknown scheme; use http://, https:// or unix://")
    if tls:
        scheme = "https"
    network, slash, prefix = rest.partition("/") if separator else (rest, "", "")
    if not _PREFIX.fullmatch(slash + prefix) or ".." in prefix.split("/"):
        raise AddressError(
            f"{quoted(text)} has a path that is no plain prefix, as in https://example.com/consul"
        )
    if "@" in network:
        raise AddressError("the address holds a password; give the token by file instead")
    if not re.search(r":[0-9]+$", network):
        network = f"{network}:{_SCHEME_PORTS[scheme]}"
    host, port = host_and_port(network)
    if port == 0:
        raise AddressError(f"{quoted(text)} needs a port from 1 to {_MAX_PORT}")
    url = f"{scheme}://{host_port(host, port)}{slash}{prefix}".rstrip("/")
    return ConsulAddress(url=url, host=host, port=port)
