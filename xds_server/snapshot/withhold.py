"""What is served in place of what must not be: its last good version with all it needs, or a stand-in."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.snapshot.resource import Key, Resource, Resources
from xds_server.translate.packing import on_demand
from xds_server.translate.stand_ins import stand_in

_STAND_INS_KEPT: Final = 1024

Good: TypeAlias = Callable[[Key], Resource | None]
"""Gives the last good version of a resource, if there is one."""


def withhold(
    sets: Resources,
    keys: Iterable[Key],
    good: Good,
    *,
    stand_ins: bool = True,
) -> dict[TypeUrl, Table[Resource]]:
    """Give the types of `sets` that change, whole, when `keys` are withheld.

    What a last good version refers to and `sets` no longer has comes along. A resource without a last good
    version, or with one whose references are not to be had, becomes a stand-in if there is one for its type
    and `stand_ins` allows it; otherwise it is left out.
    """
    changes: defaultdict[TypeUrl, dict[str, Resource | None]] = defaultdict(dict)
    for type_url, name in keys:
        bad = changes[type_url].get(name) or sets[type_url].get(name)
        changes[type_url][name] = None
        kept = _with_references(sets, (type_url, name), good)
        for one in kept or (_stand_in((type_url, name), bad) if stand_ins else ()):
            changes[one.type][one.name] = one
    return {type_url: sets[type_url].changed(of_type) for type_url, of_type in changes.items()}


def has_good(sets: Resources, key: Key, good: Good) -> bool:
    """Tell whether there is a last good version of a resource, with all it needs."""
    return bool(_with_references(sets, key, good))


def stands_in(resource: Resource) -> bool:
    """Tell whether a resource is no version of its own, but stands in for one."""
    return any(one.packed == resource.packed for one in _stand_in(resource.key, None))


def told_withheld(key: Key, known: Resource | None) -> str:
    """Say that a resource is withheld, and what is served in its place: `known` is what was served before.

    What only stood in for it is no good version.
    """
    good = known is not None and not stands_in(known)
    served = "the last good version is served" if good else "there is no good version to serve"
    return f"{key[0].short} {key[1]} is withheld, {served}"


def _stand_in(key: Key, bad: Resource | None) -> tuple[Resource, ...]:
    """Give what stands in for a resource; it is on demand if that was."""
    return _made(key, bad is not None and bad.on_demand)


@lru_cache(maxsize=_STAND_INS_KEPT)
def _made(key: Key, demanded: bool) -> tuple[Resource, ...]:
    drafts = stand_in(*key)
    if demanded:
        drafts = tuple(on_demand(one) if one.type is key[0] else one for one in drafts)
    return tuple(map(Resource.of, drafts))


def _with_references(sets: Resources, key: Key, good: Good) -> tuple[Resource, ...]:
    """Give the last good version and what of its references is missing; nothing if one is not to be had."""
    first = good(key)
    if first is None:
        return ()
    found, waiting = {first.key: first}, [first]
    while waiting:
        for reference in waiting.pop().references:
            needed_key = (reference.type, reference.name)
            if needed_key in found or reference.name in sets[reference.type]:
                continue
            needed = good(needed_key)
            if needed is None:
                return ()
            found[needed_key] = needed
            waiting.append(needed)
    return tuple(found.values())
