"""From flags, environment and file to `Settings`: read, check everything, then swap or refuse as a whole."""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import UnsetType

from xds_server.model.policy import EndpointPolicy, Policy, ServicePolicy
from xds_server.reading import Document, ReadError, quoted, read_document
from xds_server.runtime.vetting import Preflight
from xds_server.settings.addresses import is_loopback
from xds_server.settings.consul import consul_settings
from xds_server.settings.edges import log_settings
from xds_server.settings.gateways import gateways
from xds_server.settings.guards import guards
from xds_server.settings.listeners import listeners
from xds_server.settings.pace import pace
from xds_server.settings.registrations import registrations
from xds_server.settings.secret_files import Secrets
from xds_server.settings.servers import admin_settings, workers, xds_settings
from xds_server.settings.service_policies import service_policies, service_policy, stated_fields
from xds_server.settings.shape import EndpointsShape, FileShape
from xds_server.settings.show import leaves, show
from xds_server.settings.sources import SettingsError, Sources, given
from xds_server.settings.state import of_systemd, state_dir
from xds_server.settings.values import Settings

_LIMIT: Final = 1024 * 1024


def load(*, flags: Mapping[str, str | None], environ: Mapping[str, str], file: Path | None) -> Settings:
    """Give the settings: flags over XDS_* over CONSUL_* over `file` (else XDS_CONFIG) over the defaults.

    `flags` has the keys `listen`, `admin`, `catalog`, `state_dir`, `workers`, `consul`, `log_level` and
    `log_form`, None for a flag that was not given. Reads nothing but the settings file. Raises
    `SettingsError` with all that is wrong in the file's form, or, where that is right, in its meaning.
    """
    file = file or (Path(environ["XDS_CONFIG"]) if environ.get("XDS_CONFIG") else None)
    document = _read(file)
    values = of_systemd(environ, document.lines) | given(flags, environ)
    sources = Sources(values, file, document.lines)
    settings = _settings(document.value, sources, file)
    sources.finish()
    origins = {key: sources.origin(key) for key in leaves(show(settings))}
    return replace(settings, origins=MappingProxyType(origins))


def _read(file: Path | None) -> Document[FileShape]:
    nothing = Document(FileShape(), {})
    if file is None:
        return nothing
    try:
        return read_document(file, FileShape, limit=_LIMIT) or nothing
    except ReadError as error:
        raise SettingsError(tuple(finding.at(str(file)) for finding in error.findings)) from None


def _settings(shape: FileShape, sources: Sources, file: Path | None) -> Settings:
    secrets = Secrets(shape.secrets, sources)
    catalog = sources.text("catalog") or shape.catalog
    settings = Settings(
        consul=consul_settings(shape.consul, sources),
        catalog_file=None if isinstance(catalog, UnsetType) else sources.path("catalog", catalog),
        xds=xds_settings(shape.xds, sources),
        workers=workers(shape.workers, sources),
        admin=admin_settings(shape.admin, sources),
        log=log_settings(shape.log, sources),
        secret_files=secrets.files(),
        guards=guards(shape.guards, own_word=not isinstance(catalog, UnsetType)),
        pace=pace(shape.pace, sources),
        state_dir=state_dir(shape.state_dir, sources),
        state_max_age=shape.state_max_age,
        preflight=Preflight(shape.preflight),
        envoy=shape.envoy,
        file=file,
    )
    _check_servers(settings, secrets, sources)
    return replace(settings, policy=_policy(shape, settings, secrets, sources))


def _check_servers(settings: Settings, secrets: Secrets, sources: Sources) -> None:
    xds, admin = settings.xds, settings.admin
    if xds.port and (xds.host, xds.port) == (admin.host, admin.port):
        sources.note("admin.address", f"is the address of xds already ({xds.address}); choose another port")
    if secrets.with_key is not None and xds.tls is None and not is_loopback(xds.host):
        sources.note(
            "xds.address",
            f"{xds.address} is reached from other machines, and without xds.tls the private key of secret "
            f"{quoted(secrets.with_key)} would cross the network in clear; add xds.tls, or stay on 127.0.0.1",
        )


def _policy(shape: FileShape, settings: Settings, secrets: Secrets, sources: Sources) -> Policy:
    defaults = service_policy(shape.defaults, ServicePolicy(), secrets, sources, "defaults")
    return Policy(
        defaults=defaults,
        services=service_policies(shape.services, defaults, secrets, sources),
        stated=stated_fields(shape.services),
        listeners=listeners(shape, secrets, sources),
        datacenters=settings.consul.datacenters,
        gateways=gateways(shape.gateways, secrets, sources),
        registrations=registrations(shape.registrations, sources),
        endpoints=_endpoints(shape.endpoints, settings, sources),
        hidden_services=frozenset(shape.hidden_services),
    )


def _endpoints(shape: EndpointsShape, settings: Settings, sources: Sources) -> EndpointPolicy:
    """Deny the ports of Consul and of this server: an instance there would open them to all."""
    allow_loopback = shape.allow_loopback
    if isinstance(allow_loopback, str):
        allow_loopback = settings.catalog_file is not None or settings.consul.is_local
    return EndpointPolicy(
        allow=_networks(shape.allow, sources, "endpoints.allow"),
        deny=_networks(shape.deny, sources, "endpoints.deny"),
        deny_ports=settings.own_ports - set(shape.allow_ports),
        allow_loopback=allow_loopback,
    )


def _networks(texts: tuple[str, ...], sources: Sources, key: str) -> tuple[str, ...]:
    networks = []
    for position, text in enumerate(texts):
        try:
            networks.append(str(ipaddress.ip_network(text)))
        except ValueError as error:
            sources.note(f"{key}[{position}]", f"{quoted(text)} is not a network such as 10.0.0.0/8: {error}")
    return tuple(networks)
