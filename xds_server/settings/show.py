"""The settings in force, in the form of the settings file, with no secret in them."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, Final

from xds_server.model.policy import (
    DEFAULT_LISTENER,
    HashOn,
    Listener,
    ListenerKind,
    Route,
    ServicePolicy,
)
from xds_server.reading import child
from xds_server.settings import gateways, guards, pace, registrations, targets
from xds_server.settings.addresses import host_port
from xds_server.settings.values import ConsulSettings, ServerSettings, Settings, XdsSettings

_DURATIONS: Final = frozenset(
    {
        "wait",
        "sweep",
        "max_stale",
        "max_age",
        "removal_hold",
        "remote_keep",
        "state_max_age",
        "max_connection_age",
        "drain_time",
        "window",
        "hold",
        "last_endpoint_hold",
        "quiet",
        "at_most",
        "remove_clusters_after",
        "connect_timeout",
        "request_timeout",
        "ttl",
        "interval",
        "base_ejection_time",
        "max_ejection_time",
        "max_ejection_time_jitter",
    }
)


def show(settings: Settings) -> dict[str, Any]:
    """Give the effective settings as plain dicts, lists and scalars, keyed as the settings file is.

    A token shows as stars. What is left to Envoy, or not set, is left out.
    """
    policy = settings.policy
    default = next((one for one in policy.listeners if one.source == DEFAULT_LISTENER.source), None)
    shown: dict[str, Any] = _plain(
        {
            "consul": _consul(settings.consul),
            "catalog": settings.catalog_file,
            "state_dir": settings.state_dir,
            "state_max_age": settings.state_max_age,
            "xds": _xds(settings.xds),
            "workers": settings.workers,
            "admin": {**_server(settings.admin), **_named(settings.admin, "socket", "token_file")},
            "log": {"level": settings.log.level, "form": settings.log.form},
            "defaults": _service(policy.defaults),
            "services": {name: _service(service) for name, service in policy.services.items()},
            "default_listener": _default_listener(default) if default else False,
            "listeners": [_listener(one) for one in policy.listeners if one is not default],
            "secrets": {
                one.name: _named(one, "cert_file", "key_file", "ca_file") for one in settings.secret_files
            },
            "gateways": gateways.shown(policy.gateways),
            "registrations": registrations.shown(policy.registrations),
            "guards": guards.shown(settings.guards),
            "pace": pace.shown(settings.pace),
            "endpoints": _endpoints(settings),
            "preflight": settings.preflight,
            "envoy": settings.envoy,
            "hidden_services": sorted(policy.hidden_services),
        }
    )
    return shown


def leaves(shown: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Give the key path of every scalar, and of every list of scalars, in what `show` gave."""
    for key, value in shown.items():
        here = child(path, key)
        match value:
            case dict():
                yield from leaves(value, here)
            case [dict(), *_]:
                for position, item in enumerate(value):
                    yield from leaves(item, f"{here}[{position}]")
            case _:
                yield here


def _plain(value: Any, key: str = "") -> Any:
    """Make a value one that YAML and JSON can hold, without keys that have no value."""
    match value:
        case Mapping():
            return {name: _plain(one, name) for name, one in value.items() if one is not None}
        case list() | tuple():
            return [_plain(one) for one in value]
        case Enum():
            return value.value
        case Path():
            return str(value)
        case float() if key in _DURATIONS:
            return f"{value:.3f}".rstrip("0").rstrip(".") + "s"
        case _:
            return value


def _consul(consul: ConsulSettings) -> dict[str, Any]:
    return {
        "address": consul.address if len(consul.addresses) == 1 else consul.address.split(","),
        "connections": consul.connections,
        "token": str(consul.token) or None,
        "token_file": consul.token_file,
        "login": _fields(consul.login) if consul.login else None,
        "auth": str(consul.basic_auth) or None,
        "auth_file": consul.auth_file,
        **_named(consul, "datacenter", "namespace", "partition"),
        "wait": consul.wait,
        "requests_per_second": consul.requests_per_second,
        "sweep": consul.sweep,
        "stale": consul.stale,
        "max_stale": consul.max_stale,
        "cached": consul.cached,
        "max_age": consul.max_age,
        "removal_hold": consul.removal_hold,
        "config_entries": consul.config_entries,
        "datacenters": consul.datacenters,
        "remote_keep": consul.remote_keep,
        "register": consul.register,
        "advertise": host_port(*consul.advertise) if consul.advertise else None,
        "tls": {**_fields(consul.tls), "server_name": consul.tls.server_name or None},
    }


def _server(server: ServerSettings) -> dict[str, Any]:
    return {"address": server.address, "tls": _fields(server.tls) if server.tls else None}


def _xds(xds: XdsSettings) -> dict[str, Any]:
    shown = _server(xds)
    if shown["tls"] is not None:
        shown["tls"]["match_node_id"] = xds.match_node_id
    size = xds.max_request_size // 1024
    return {
        **shown,
        "max_streams": xds.max_streams,
        "max_streams_per_address": xds.max_streams_per_address,
        "max_streams_per_identity": xds.max_streams_per_identity,
        "max_connection_age": xds.max_connection_age,
        "drain_time": xds.drain_time,
        "max_request_size": f"{size // 1024}MiB" if size % 1024 == 0 else f"{size}KiB",
    }


def _service(policy: ServicePolicy) -> dict[str, Any]:
    return {
        **_fields(policy),
        "hash_on": [_hash_on(one) for one in policy.hash_on],
        "ring_size": _ring_size(policy.ring_size),
        "outlier_detection": _fields(policy.outlier_detection) if policy.outlier_detection else False,
        "circuit_breakers": _fields(policy.circuit_breakers),
        "tls": {**_fields(policy.tls), **_named(policy.tls, "sni", "certificate")} if policy.tls else False,
    }


def _hash_on(one: HashOn) -> dict[str, Any]:
    return {
        one.kind.value: one.name or True,
        "ttl": one.ttl,
        "path": one.path or None,
        "terminal": one.terminal or None,
    }


def _ring_size(size: tuple[int | None, int | None]) -> dict[str, int | None] | None:
    return None if size == (None, None) else {"minimum": size[0], "maximum": size[1]}


def _default_listener(listener: Listener) -> dict[str, Any]:
    return {"address": host_port(listener.address, listener.port), "discovery": listener.discovery}


def _listener(listener: Listener) -> dict[str, Any]:
    is_http = listener.kind is ListenerKind.HTTP
    return {
        "name": listener.name,
        "address": host_port(listener.address, listener.port),
        "protocol": listener.kind,
        "tls": {**_fields(listener.tls), **_named(listener.tls, "client_ca")} if listener.tls else None,
        "all_services": listener.all_services if is_http else None,
        "discovery": listener.discovery if is_http else None,
        "ttl": listener.ttl,
        "routes": [_route(route) for route in listener.routes] if is_http else None,
        **({} if is_http else targets.shown(listener.targets)),
    }


def _route(route: Route) -> dict[str, Any]:
    return {"hosts": route.hosts, "path_prefix": route.match.path.value, **targets.shown(route.targets)}


def _endpoints(settings: Settings) -> dict[str, Any]:
    policy = settings.policy.endpoints
    return {
        "allow": policy.allow,
        "deny": policy.deny,
        "allow_ports": sorted(settings.own_ports - policy.deny_ports),
        "allow_loopback": policy.allow_loopback,
    }


def _fields(value: Any) -> dict[str, Any]:
    """Give the fields of a dataclass, one level deep."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _named(value: Any, *names: str) -> dict[str, str | None]:
    """Give some fields of a dataclass, None for an empty text."""
    return {name: getattr(value, name) or None for name in names}
