"""How large a resource may be, and how many there may be of a type.

Each is far above what 10,000 services come to, and far below what would hurt an Envoy or this server: what
grows past it is a mistake in the catalog, like each row of it registered a hundred times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from xds_server.model.types import TypeUrl

MIB: Final = 1024 * 1024

NAME_BYTES: Final = 2_048
"""Of the name of a resource; a client cannot ask for a longer one (`protocol.limits`)."""

ENDPOINTS: Final = 50_000
"""In one assignment."""

VIRTUAL_HOSTS: Final = 50_000
"""In one route configuration."""

DOMAINS: Final = 200_000
"""In one route configuration; a service has three."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The bytes of one resource of a type, and how many resources there may be of it."""

    size: int
    count: int


LIMITS: Final[Mapping[TypeUrl, Limit]] = MappingProxyType(
    {
        TypeUrl.CLUSTER: Limit(1 * MIB, 50_000),
        # 20,000 endpoints are about 1 MB.
        TypeUrl.ENDPOINTS: Limit(4 * MIB, 50_000),
        # A gRPC client has one for each name of a service.
        TypeUrl.LISTENER: Limit(1 * MIB, 200_000),
        # All services of the default listener are in one: about 2.5 MB for 10,000.
        TypeUrl.ROUTES: Limit(16 * MIB, 200_000),
        TypeUrl.SCOPED_ROUTES: Limit(1 * MIB, 10_000),
        TypeUrl.VIRTUAL_HOST: Limit(1 * MIB, 200_000),
        # The files it is read from are bounded more tightly (`files.pem`); this is the net under them.
        TypeUrl.SECRET: Limit(16 * MIB, 10_000),
        TypeUrl.EXTENSION: Limit(1 * MIB, 10_000),
        TypeUrl.RUNTIME: Limit(1 * MIB, 1_000),
    }
)
"""By type; a type without a row is not served."""


def too_large(type_url: TypeUrl, name: str, size: int) -> str:
    """Say, in a sentence, why a resource of so many bytes is not served; empty if it may be."""
    if len(name.encode(errors="replace")) > NAME_BYTES:
        return f"its name is longer than {NAME_BYTES} bytes; give what it is made of a shorter one."
    limit = LIMITS[type_url].size
    if size > limit:
        return (
            f"it has {size} bytes, more than the {limit} that a {type_url.short} may have; look for what is "
            "registered or configured many times over."
        )
    return ""
