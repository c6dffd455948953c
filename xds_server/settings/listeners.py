"""The listeners of the settings file, with their routes."""

import re
from dataclasses import replace
from typing import Final

from msgspec import UnsetType

from xds_server.model.policy import (
    DEFAULT_LISTENER,
    Discovery,
    DownstreamTls,
    Listener,
    ListenerKind,
    Route,
)
from xds_server.model.route import RouteMatch
from xds_server.reading import quoted
from xds_server.settings.addresses import AddressError, ip_and_port, is_host, is_name
from xds_server.settings.secret_files import NAME_RULE, Secrets
from xds_server.settings.service_shape import set_fields
from xds_server.settings.shape import (
    DefaultListenerShape,
    DownstreamTlsShape,
    FileShape,
    ListenerShape,
    RouteShape,
)
from xds_server.settings.sources import Sources
from xds_server.settings.targets import targets

# Envoy matches the path as it is on the wire, without the query: nothing else can occur in it.
_PATH: Final = re.compile(r"/[!-~]*", re.ASCII)
_FOREIGN_KEYS: Final = {"http": ("service", "split"), "tcp": ("routes", "all_services", "discovery")}


def listeners(shape: FileShape, secrets: Secrets, sources: Sources) -> tuple[Listener, ...]:
    """Give the default listener, if it is on, and the listeners of the file in their order."""
    found = [] if shape.default_listener is False else [_default(shape.default_listener, sources)]
    for position, one in enumerate(shape.listeners):
        listener = _listener(one, secrets, sources, f"listeners[{position}]")
        _check_unique(listener, found, sources, f"listeners[{position}]")
        found.append(listener)
    if not found:
        sentence = "no listener is left, so every Envoy would close all it has; add one to listeners"
        sources.note("default_listener", sentence)
    return tuple(found)


def _default(shape: DefaultListenerShape | bool, sources: Sources) -> Listener:
    if isinstance(shape, bool):
        return DEFAULT_LISTENER
    host, port = _address(shape.address, sources, "default_listener.address")
    return replace(DEFAULT_LISTENER, address=host, port=port, discovery=_discovery(shape))


def _address(text: str, sources: Sources, key: str) -> tuple[str, int]:
    try:
        return ip_and_port(text)
    except AddressError as error:
        sources.note(key, str(error))
        return "", 0


def _check_unique(listener: Listener, others: list[Listener], sources: Sources, key: str) -> None:
    for other in others:
        if other.name == listener.name:
            sources.note(f"{key}.name", f"{quoted(listener.name)} is the name of {other.source} already")
        if listener.port and (other.address, other.port) == (listener.address, listener.port):
            sentence = f"is the address of listener {quoted(other.name)} already; choose another port"
            sources.note(f"{key}.address", sentence)


def _listener(shape: ListenerShape, secrets: Secrets, sources: Sources, key: str) -> Listener:
    if not is_name(shape.name):
        sources.note(f"{key}.name", f"{quoted(shape.name)} is no name for a listener; {NAME_RULE}")
    host, port = _address(shape.address, sources, f"{key}.address")
    for foreign in _FOREIGN_KEYS[shape.protocol]:
        if getattr(shape, foreign):
            sources.note(f"{key}.{foreign}", f"has no meaning for a listener with protocol {shape.protocol}")
    is_http = shape.protocol == "http"
    if is_http and not shape.routes and not shape.all_services:
        sources.note(key, "leads nowhere; give it routes, or all_services: true")
    _check_discovery(shape, sources, key)
    return Listener(
        name=shape.name,
        address=host,
        port=port,
        kind=ListenerKind(shape.protocol),
        tls=_tls(shape.tls, secrets, f"{key}.tls"),
        routes=_routes(shape.routes, sources, key) if is_http else (),
        all_services=shape.all_services and is_http,
        discovery=_discovery(shape) if is_http else Discovery.ALL,
        ttl=None if isinstance(shape.ttl, UnsetType) else shape.ttl,
        targets=() if is_http else targets(shape, sources, key),
        source=sources.place(key),
    )


def _discovery(shape: ListenerShape | DefaultListenerShape) -> Discovery:
    return Discovery.ALL if isinstance(shape.discovery, UnsetType) else Discovery(shape.discovery)


def _check_discovery(shape: ListenerShape, sources: Sources, key: str) -> None:
    """Refuse a host that would hide services: Envoy asks only for a host that nothing it holds matches."""
    if _discovery(shape) is Discovery.ALL or not shape.all_services:
        return
    for host in sorted({host for route in shape.routes for host in route.hosts}):
        if host == "*" or (host.startswith("*.") and host.endswith(".consul")):
            sentence = (
                f"is on_demand, so no route may have the host {quoted(host)}: it would take the requests of "
                "services not held yet; name its hosts, or leave out all_services"
            )
            sources.note(f"{key}.discovery", sentence)


def _tls(shape: DownstreamTlsShape | UnsetType, secrets: Secrets, key: str) -> DownstreamTls | None:
    if isinstance(shape, UnsetType):
        return None
    secrets.need_certificate(shape.certificate, f"{key}.certificate")
    values = set_fields(shape)
    if "client_ca" in values:
        secrets.need_ca(values["client_ca"], f"{key}.client_ca")
    return DownstreamTls(**values)


def _routes(shapes: tuple[RouteShape, ...], sources: Sources, listener: str) -> tuple[Route, ...]:
    """Give the routes of a listener; of two with one host and prefix the second could never be reached."""
    routes = []
    taken: dict[tuple[str, str], str] = {}
    for position, shape in enumerate(shapes):
        key = f"{listener}.routes[{position}]"
        for place, host in enumerate(shape.hosts):
            check_host(host, sources, f"{key}.hosts[{place}]")
            other = taken.setdefault((host, shape.path_prefix), key)
            if other != key:
                sources.note(key, f"has the host {quoted(host)} and the path_prefix of {other}; keep one")
        check_prefix(shape.path_prefix, sources, f"{key}.path_prefix")
        routes.append(
            Route(
                hosts=shape.hosts,
                match=RouteMatch.below(shape.path_prefix),
                targets=targets(shape, sources, key),
                source=sources.place(key),
            )
        )
    return tuple(routes)


def check_host(host: str, sources: Sources, key: str) -> None:
    """Note if `host`, which stands at `key`, is not an Envoy domain."""
    if host == "*" or is_host(host.removeprefix("*.")):
        return
    if is_host(host.removeprefix("*.").lower()):
        sources.note(key, f"{quoted(host)} must be in lower case")
    elif is_host(host.removeprefix("*.").rpartition(":")[0]):
        sources.note(key, f"{quoted(host)} must not have a port; every port is meant")
    else:
        sources.note(key, f"{quoted(host)} is not a host; use a name, *.example.com, or * for any")


def check_prefix(prefix: str, sources: Sources, key: str) -> None:
    """Note if `prefix`, which stands at `key`, is nothing that a path can begin with."""
    if not _PATH.fullmatch(prefix) or "?" in prefix or "#" in prefix:
        sentence = (
            f"{quoted(prefix)} must begin with / and hold only what a path can: no space, query or fragment"
        )
        sources.note(key, sentence)
