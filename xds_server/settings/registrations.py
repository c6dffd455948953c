"""The file's `registrations`: what services may decide themselves."""

from typing import Any

from xds_server.model.catalog import is_service_name
from xds_server.model.policy import Claim, Dialect, Expose, Registrations
from xds_server.reading import quoted
from xds_server.settings.listeners import check_host, check_prefix
from xds_server.settings.registrations_shape import ClaimShape, RegistrationsShape
from xds_server.settings.sources import Sources


def registrations(shape: RegistrationsShape, sources: Sources) -> Registrations:
    """Give what services may decide, and note what is wrong with the claims."""
    return Registrations(
        expose=Expose(shape.expose),
        claims=tuple(
            _claim(one, sources, f"registrations.claims[{position}]")
            for position, one in enumerate(shape.claims)
        ),
        dialects=frozenset(Dialect(one) for one in shape.dialects),
    )


def _claim(shape: ClaimShape, sources: Sources, key: str) -> Claim:
    for position, host in enumerate(shape.hosts):
        check_host(host, sources, f"{key}.hosts[{position}]")
    for position, service in enumerate(shape.services):
        if service != "*" and not is_service_name(service):
            sentence = f"{quoted(service)} cannot be the name of a service; use * for any"
            sources.note(f"{key}.services[{position}]", sentence)
    check_prefix(shape.path_prefix, sources, f"{key}.path_prefix")
    return Claim(hosts=shape.hosts, services=shape.services, path_prefix=shape.path_prefix)


def shown(found: Registrations) -> dict[str, Any]:
    """Give the same as the settings file writes it."""
    return {
        "expose": found.expose,
        "claims": [
            {"hosts": one.hosts, "services": one.services, "path_prefix": one.path_prefix}
            for one in found.claims
        ],
        "dialects": sorted(found.dialects),
    }
