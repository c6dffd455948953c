"""The outlive guard: the clusters of a service that has left stay for a while, with no endpoint in them.

Its routes answer 503 with the reason at once. A cluster that stays costs no request, needs no warming when
the service is back, and is there for whatever still names it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from types import MappingProxyType
from typing import Final

from xds_server.guard.changes import Change, Services
from xds_server.guard.options import GuardOptions
from xds_server.model.catalog import Service

_MOST: Final = 1000
"""How many services that have left are remembered; of more the ones that left first are forgotten."""

_NONE: Final[Mapping[str, "Departed"]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Departed:
    """A service that has left, and when, by the clock of the source."""

    service: Service
    lived: float


def departed(
    known: Mapping[str, Departed],
    changed: Mapping[str, Change],
    believed: Services,
    lived: float,
    options: GuardOptions,
) -> Mapping[str, Departed]:
    """Give the services whose clusters outlive them; the very same mapping where nothing changed.

    | a service | its clusters |
    |---|---|
    | has no instance any more | stay, without endpoints |
    | has instances again | are its own again |
    | comes with a name that differs in capitals only | make place, as only one of the two can be served |
    | is away for `remove_clusters_after`, while the source is live | go |
    """
    lifetime = options.remove_clusters_after
    left = {
        name: Departed(replace(change.old, departed=True), lived)
        for name, change in changed.items()
        if change.old is not None and change.before and _is_gone(believed.get(name), options)
    }
    if lifetime == 0 or not (left or known):
        return _NONE
    come = (name for name, one in changed.items() if name in known or _is_gone(one.old, options))
    here = {
        name.lower()
        for name in (*come, *_namesakes(left, believed))
        if not _is_gone(believed.get(name), options)
    }
    if not left and not here and (lifetime is None or lived - _first(known) < lifetime):
        return known
    stay = {
        name: one
        for name, one in {**known, **left}.items()
        if name.lower() not in here and (lifetime is None or lived - one.lived < lifetime)
    }
    return known if not left and len(stay) == len(known) else dict(list(stay.items())[-_MOST:])


def _namesakes(left: Iterable[str], believed: Services) -> Iterable[str]:
    """Give the services that are called like one that has left, but for capitals."""
    names = {name.lower() for name in left}
    return compress(believed, map(names.__contains__, map(str.lower, believed))) if names else ()


def waits(known: Mapping[str, Departed], lived: float, options: GuardOptions) -> list[float]:
    """Give the seconds until the first of the clusters goes; nothing where none does."""
    if options.remove_clusters_after is None or not known:
        return []
    return [_first(known) + options.remove_clusters_after - lived]


def _first(known: Mapping[str, Departed]) -> float:
    """Give when the first of them left; they are in that order."""
    return next(iter(known.values())).lived


def _is_gone(service: Service | None, options: GuardOptions) -> bool:
    """Tell whether a service has left: Consul lists none without instances, so its last rows go just before.

    An operator who writes a service without instances into a file means that.
    """
    return service is None or (not service.instances and not options.own_word)
