"""ingress-gateway and terminating-gateway entries; pure.

https://developer.hashicorp.com/consul/docs/connect/config-entries/ingress-gateway and
.../terminating-gateway . A listener or service that cannot be used is left out: half of one would be
open to more than it should be.
"""

import re
from typing import Final

import msgspec

from xds_server.consul.pieces import PROTOCOLS, Flaw, literal
from xds_server.consul.rows import Failure, attempt
from xds_server.consul.text import shown
from xds_server.model.catalog import is_service_name
from xds_server.model.entries import (
    IngressGateway,
    IngressListener,
    IngressService,
    LinkedService,
    TerminatingGateway,
)

_MAX_LISTENERS: Final = 100
_MAX_SERVICES: Final = 2000
_MAX_HOSTS: Final = 200
_PORTS: Final = range(1, 65536)
# A DNS name, `*.` before one, or `*`; Consul lets a port follow, which is taken off.
_HOST: Final = re.compile(
    r"\*|(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?",
    re.ASCII,
)
_PORT_SUFFIX: Final = re.compile(r":[0-9]{1,5}\Z")
_MAX_HOST: Final = 253


class Tls(msgspec.Struct):
    """`GatewayTLSConfig`; with a source of certificates (SDS) it is on as well."""

    Enabled: bool | None = None
    SDS: dict[str, str] | None = None


class IngressServiceShape(msgspec.Struct):
    """`IngressService`."""

    Name: str
    Namespace: str = ""
    Hosts: list[str] | None = None
    TLS: Tls | None = None


class IngressListenerShape(msgspec.Struct):
    """`IngressListener`; each service is read on its own."""

    Port: int
    Protocol: str = "tcp"
    Services: list[msgspec.Raw] | None = None
    TLS: Tls | None = None


class IngressShape(msgspec.Struct):
    """`IngressGatewayConfigEntry`; each listener is read on its own."""

    TLS: Tls | None = None
    Listeners: list[msgspec.Raw] | None = None


class LinkedShape(msgspec.Struct):
    """`LinkedService`."""

    Name: str
    CAFile: str = ""
    CertFile: str = ""
    KeyFile: str = ""
    SNI: str = ""


class TerminatingShape(msgspec.Struct):
    """`TerminatingGatewayConfigEntry`; each service is read on its own."""

    Services: list[msgspec.Raw] | None = None


_listener: Final = msgspec.json.Decoder(IngressListenerShape).decode
_service: Final = msgspec.json.Decoder(IngressServiceShape).decode
_linked: Final = msgspec.json.Decoder(LinkedShape).decode


def ingress(name: str, shape: IngressShape, notes: list[str]) -> IngressGateway:
    """Give an ingress gateway; `notes` gets words for what is left out of it."""
    found: dict[int, IngressListener] = {}
    raw = shape.Listeners or []
    if len(raw) > _MAX_LISTENERS:
        notes.append(f"of its listeners only {_MAX_LISTENERS} are used")
    whole = _is_on(shape.TLS, default=False)
    for one in raw[:_MAX_LISTENERS]:
        try:
            listener = _ingress_listener(one, notes, tls=whole)
        except Flaw as flaw:
            notes.append(f"a listener is left out: {flaw}")
            continue
        found.setdefault(listener.port, listener)
    listeners = tuple(found[port] for port in sorted(found))
    return IngressGateway(name=name, listeners=listeners, tls=any(one.tls for one in listeners))


def terminating(name: str, shape: TerminatingShape, notes: list[str]) -> TerminatingGateway:
    """Give a terminating gateway; `notes` gets words for what is left out of it."""
    found: dict[str, LinkedService] = {}
    raw = shape.Services or []
    if len(raw) > _MAX_SERVICES:
        notes.append(f"of its services only {_MAX_SERVICES} are used")
    for one in raw[:_MAX_SERVICES]:
        try:
            service = _linked_service(one)
        except Flaw as flaw:
            notes.append(f"a service is left out: {flaw}")
            continue
        found.setdefault(service.name, service)
    return TerminatingGateway(name=name, services=tuple(found[key] for key in sorted(found)))


def _ingress_listener(raw: msgspec.Raw, notes: list[str], *, tls: bool) -> IngressListener:
    shape = attempt(_listener, raw)
    if isinstance(shape, Failure):
        raise Flaw(f"it cannot be read ({shape.why})")
    protocol = shape.Protocol.lower() or "tcp"
    if shape.Port not in _PORTS or protocol not in PROTOCOLS:
        raise Flaw(f"port {shape.Port} or protocol {shown(shape.Protocol)} is none")
    tls = _is_on(shape.TLS, default=tls)
    services: dict[str, IngressService] = {}
    given = shape.Services or []
    if len(given) > _MAX_SERVICES:
        notes.append(f"of the services of port {shape.Port} only {_MAX_SERVICES} are used")
    for one in given[:_MAX_SERVICES]:
        try:
            service, own_tls = _ingress_service(one, notes)
        except Flaw as flaw:
            notes.append(f"a service of port {shape.Port} is left out: {flaw}")
            continue
        tls = tls or own_tls
        services.setdefault(service.name, service)
    if protocol == "tcp" and len(services) > 1:
        raise Flaw(f"port {shape.Port} has protocol tcp and more than one service")
    return IngressListener(
        port=shape.Port,
        protocol=protocol,
        services=tuple(services[name] for name in sorted(services)),
        tls=tls,
    )


def _ingress_service(raw: msgspec.Raw, notes: list[str]) -> tuple[IngressService, bool]:
    shape = attempt(_service, raw)
    if isinstance(shape, Failure):
        raise Flaw(f"it cannot be read ({shape.why})")
    if shape.Name != "*" and not is_service_name(shape.Name):
        raise Flaw(f"its name {shown(shape.Name)} cannot be used")
    if (shape.Namespace or "default") != "default":
        raise Flaw(f"{shown(shape.Name)} is in another namespace, which is not read")
    stated = list(dict.fromkeys(shape.Hosts or ()))
    hosts = tuple(host for host in map(_host, stated[:_MAX_HOSTS]) if host)
    if len(hosts) < len(stated):
        notes.append(f"some hosts of service {shown(shape.Name)} are no DNS names, or too many")
    if stated and not hosts:  # without any it would get hosts that nobody has asked for
        raise Flaw(f"none of the hosts of {shown(shape.Name)} can be used")
    return IngressService(name=shape.Name, hosts=hosts), _is_on(shape.TLS, default=False)


def _host(text: str) -> str:
    host = _PORT_SUFFIX.sub("", text.lower())
    return host if len(host) <= _MAX_HOST and _HOST.fullmatch(host) else ""


def _is_on(tls: Tls | None, *, default: bool) -> bool:
    if tls is None:
        return default
    return default if tls.Enabled is None and not tls.SDS else bool(tls.Enabled or tls.SDS)


def _linked_service(raw: msgspec.Raw) -> LinkedService:
    shape = attempt(_linked, raw)
    if isinstance(shape, Failure):
        raise Flaw(f"it cannot be read ({shape.why})")
    if shape.Name != "*" and not is_service_name(shape.Name):
        raise Flaw(f"its name {shown(shape.Name)} cannot be used")
    if shape.SNI and not _host(shape.SNI):
        raise Flaw(f"the SNI of {shown(shape.Name)} is no DNS name")
    if bool(shape.CertFile) != bool(shape.KeyFile):
        raise Flaw(f"{shown(shape.Name)} has a CertFile without a KeyFile, or the other way round")
    return LinkedService(
        name=shape.Name,
        ca_file=literal(shape.CAFile, "the CAFile"),
        cert_file=literal(shape.CertFile, "the CertFile"),
        key_file=literal(shape.KeyFile, "the KeyFile"),
        sni=shape.SNI,
    )
