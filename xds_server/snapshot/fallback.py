"""What is served in place of what clients reject: the last version they accepted, with all it needs."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from xds_server.model.types import TypeUrl
from xds_server.snapshot.build import succeed
from xds_server.snapshot.resource import Resource
from xds_server.snapshot.snapshot import ResourceSet, Snapshot

Accepted: TypeAlias = Mapping[TypeUrl, Mapping[str, Resource]]
"""The last version that was accepted, by type and name."""


def fall_back(raw: Snapshot, refused: Iterable[Resource], accepted: Accepted, previous: Snapshot) -> Snapshot:
    """Give what follows `previous`: `raw` with the last accepted version in place of each refused resource.

    What the old version refers to and `raw` no longer has comes along, as it was accepted. A resource with no
    accepted version, or with one that refers to what is not to be had, stays as it is.
    """
    changed: dict[TypeUrl, dict[str, Resource]] = {}
    for resource in refused:
        for kept in _with_references(raw, resource, accepted):
            changed.setdefault(kept.type, dict(raw.sets[kept.type].by_name))[kept.name] = kept
    sets = {
        type_url: ResourceSet(
            {name: changed[type_url][name] for name in sorted(changed[type_url])}, old.derive
        )
        if type_url in changed
        else old
        for type_url, old in raw.sets.items()
    }
    return succeed(previous, sets, raw.problems)


def _with_references(raw: Snapshot, refused: Resource, accepted: Accepted) -> tuple[Resource, ...]:
    """Give the accepted version of a resource and what of its references is missing; nothing if one is."""
    first = accepted[refused.type].get(refused.name)
    if first is None:
        return ()
    found, waiting = {(first.type, first.name): first}, [first]
    while waiting:
        for reference in waiting.pop().references:
            key = (reference.type, reference.name)
            if key in found or reference.name in raw.sets[reference.type].by_name:
                continue
            needed = accepted[reference.type].get(reference.name)
            if needed is None:
                return ()
            found[key] = needed
            waiting.append(needed)
    return tuple(found.values())
