"""What Consul's config entries say, kept apart from the catalog's instances.

https://developer.hashicorp.com/consul/docs/connect/config-entries . Entries become three things: values laid
under the operator's own (`Override`), compiled discovery chains, and gateways.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from xds_server.model.chain import Chain
from xds_server.model.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One field of a `ServicePolicy` with the value somebody gives it.

    `value` has the field's own type. `source` names who: `consul service-defaults "web"`,
    `consul service "web" meta xds-protocol`.
    """

    field: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressService:
    """A service behind an HTTP or TCP listener of an ingress gateway; `*` is every HTTP service.

    `hosts` are Envoy domains without a port; empty for Consul's own `<service>.ingress.*`.
    """

    name: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressListener:
    """A listener of an ingress gateway; `protocol` is `tcp`, `http`, `http2` or `grpc`.

    `tls` tells whether it, or a service of it, asks for TLS.
    """

    port: int
    protocol: str
    services: tuple[IngressService, ...]
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressGateway:
    """An `ingress-gateway` entry; `tls` tells whether any of its listeners asks for TLS."""

    name: str
    listeners: tuple[IngressListener, ...]
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedService:
    """A service behind a terminating gateway, `*` for every service that has no link of its own.

    The files are on the gateway's own machine: Envoy reads them.
    """

    name: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    sni: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminatingGateway:
    """A `terminating-gateway` entry."""

    name: str
    services: tuple[LinkedService, ...]


Gateway: TypeAlias = IngressGateway | TerminatingGateway


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigEntries:
    """All of it, by service or gateway in sorted order; a part that did not change keeps its identity.

    `defaults` are of `proxy-defaults/global` and are laid under every service's own `overrides`.
    """

    defaults: tuple[Override, ...] = ()
    overrides: Mapping[str, tuple[Override, ...]] = field(default_factory=lambda: MappingProxyType({}))
    chains: Mapping[str, Chain] = field(default_factory=lambda: MappingProxyType({}))
    gateways: Mapping[str, Gateway] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[Problem, ...] = ()


NO_ENTRIES = ConfigEntries()
