"""Where the settings file lets requests and connections go: services, parts of them, and splits.

A target is written `SERVICE`, `SERVICE@SUBSET`, `SERVICE:PORT` or `SERVICE@SUBSET:PORT`; neither sign can be
in the name of a service.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from msgspec import UnsetType

from xds_server.model.catalog import is_service_name
from xds_server.model.policy import WeightedService
from xds_server.reading import child, quoted
from xds_server.settings.shape import ListenerShape, RouteShape
from xds_server.settings.sources import Sources

_TARGET: Final = re.compile(r"([^@:]+)(?:@([^@:]+))?(?::([^@:]+))?")
# Consul writes subsets and the names of ports as DNS labels.
_PART: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# Envoy refuses a split whose weights add up to more (RouteAction.weighted_clusters).
_MAX_WEIGHTS: Final = 2**32 - 1


def targets(shape: RouteShape | ListenerShape, sources: Sources, key: str) -> tuple[WeightedService, ...]:
    """Give the targets of a route or TCP listener of the file, which stands at `key`."""
    service, split = shape.service, shape.split
    if isinstance(service, UnsetType) == isinstance(split, UnsetType):
        sources.note(key, "needs exactly one of service and split")
        return ()
    weights = {service: 1} if isinstance(service, str) else split or {}
    if sum(weights.values()) > _MAX_WEIGHTS:
        sources.note(f"{key}.split", f"the weights add up to more than {_MAX_WEIGHTS}; make them smaller")
    found = []
    for text, weight in weights.items():
        place = f"{key}.service" if isinstance(service, str) else child(f"{key}.split", text)
        found.append(_target(text, weight, sources, place))
    return tuple(found)


def shown(found: Iterable[WeightedService]) -> dict[str, Any]:
    """Give targets as the settings file writes them."""
    match tuple(found):
        case [WeightedService(weight=1) as only]:
            return {"service": _text(only)}
        case several:
            return {"split": {_text(one): one.weight for one in several}}


def _target(text: str, weight: int, sources: Sources, key: str) -> WeightedService:
    parts = _TARGET.fullmatch(text)
    service, subset, port = parts.groups() if parts else (text, None, None)
    if not is_service_name(service):
        sources.note(key, f"{quoted(text)} cannot be the name of a service")
    for noun, part in (("subset", subset), ("port", port)):
        if part is not None and not _PART.fullmatch(part):
            sentence = f"{quoted(part)} cannot name a {noun}; use small letters, digits and dashes"
            sources.note(key, sentence)
    return WeightedService(service=service, weight=weight, subset=subset or "", port=port or "")


def _text(target: WeightedService) -> str:
    subset = f"@{target.subset}" if target.subset else ""
    return f"{target.service}{subset}{f':{target.port}' if target.port else ''}"
