"""Who decides how a service is reached, the strongest first.

1. the operator, for this very service
2. Consul's config entries: service-defaults, then proxy-defaults
3. the service's own words: Meta, then tags
4. the operator's defaults
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from xds_server.model.entries import Override
from xds_server.model.policy import ServicePolicy


def layered(base: ServicePolicy, stated: frozenset[str], layers: Iterable[Override]) -> ServicePolicy:
    """Lay what others say under what the operator stated; of two that give one field the first counts.

    `base` is the operator's policy of the service, and `stated` the fields of it that were written for it.
    """
    changes: dict[str, Any] = {}
    for layer in layers:
        if layer.field not in stated:
            changes.setdefault(layer.field, layer.value)
    return replace(base, **changes) if changes else base
