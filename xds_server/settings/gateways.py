"""The file's `gateways`: what the operator adds to the gateways of Consul's config entries."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import UnsetType

from xds_server.model.catalog import is_service_name
from xds_server.model.policy import DownstreamTls, GatewayPolicy
from xds_server.reading import child, quoted
from xds_server.settings.addresses import AddressError, host_port, ip_and_port
from xds_server.settings.gateways_shape import GatewayShape
from xds_server.settings.secret_files import Secrets
from xds_server.settings.service_shape import set_fields
from xds_server.settings.sources import Sources


def gateways(
    shapes: Mapping[str, GatewayShape], secrets: Secrets, sources: Sources
) -> Mapping[str, GatewayPolicy]:
    """Give what is added to each gateway, by name in sorted order."""
    found = {name: _gateway(name, shapes[name], secrets, sources) for name in sorted(shapes)}
    return MappingProxyType(found)


def _gateway(name: str, shape: GatewayShape, secrets: Secrets, sources: Sources) -> GatewayPolicy:
    key = child("gateways", name)
    if not is_service_name(name):
        sources.note(key, f"{quoted(name)} cannot be the name of a gateway service")
    try:
        host, port = ip_and_port(shape.address)
    except AddressError as error:
        sources.note(f"{key}.address", str(error))
        host, port = "", 0
    return GatewayPolicy(tls=_tls(shape, secrets, sources, key), address=host, port=port)


def _tls(shape: GatewayShape, secrets: Secrets, sources: Sources, key: str) -> DownstreamTls | None:
    named = {name: value for name, value in set_fields(shape).items() if name != "address"}
    if isinstance(shape.certificate, UnsetType):
        if named:
            sources.note(f"{key}.client_ca", "needs certificate as well; without it there is no TLS")
        return None
    secrets.need_certificate(shape.certificate, f"{key}.certificate")
    if "client_ca" in named:
        secrets.need_ca(named["client_ca"], f"{key}.client_ca")
    return DownstreamTls(**named)


def shown(found: Mapping[str, GatewayPolicy]) -> dict[str, Any]:
    """Give the same as the settings file writes it."""
    return {
        name: {
            "certificate": one.tls.certificate if one.tls else None,
            "client_ca": (one.tls.client_ca or None) if one.tls else None,
            "address": host_port(one.address, one.port),
        }
        for name, one in found.items()
    }
