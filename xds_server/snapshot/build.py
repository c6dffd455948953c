"""From drafts to the next snapshot: encode what is new, keep what is not, and say what changed."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.model.problem import Problem
from xds_server.model.types import TypeUrl
from xds_server.snapshot.check import close_references
from xds_server.snapshot.resource import Resource
from xds_server.snapshot.snapshot import RECENT_CHANGES, Change, Derive, Names, ResourceSet, Snapshot
from xds_server.translate.packing import Draft

DeriveDraft: TypeAlias = Callable[[str], Draft | None]

_NOTHING_DERIVED: Final[Mapping[TypeUrl, DeriveDraft]] = MappingProxyType({})
_DERIVED_KEPT: Final = 1024


def build(
    drafts: Mapping[TypeUrl, Iterable[Draft]],
    problems: Iterable[Problem],
    previous: Snapshot,
    derived: Mapping[TypeUrl, DeriveDraft] = _NOTHING_DERIVED,
) -> Snapshot:
    """Give the snapshot that follows `previous`.

    `derived` makes drafts for names that are in no list, always the same for the same name. Resources and
    sets that did not change are the previous ones, the very objects. Where nothing changed at all, problems
    included, the previous snapshot itself is given back.
    """
    encoded = {
        type_url: _encode(drafts.get(type_url, ()), previous.sets[type_url].by_name) for type_url in TypeUrl
    }
    closed, dangling = close_references(encoded)
    sets = {
        type_url: _set(closed[type_url], previous.sets[type_url], derived.get(type_url))
        for type_url in TypeUrl
    }
    return succeed(previous, sets, tuple(sorted({*problems, *dangling})))


def succeed(
    previous: Snapshot, sets: Mapping[TypeUrl, ResourceSet], problems: tuple[Problem, ...]
) -> Snapshot:
    """Give the snapshot of `sets` that follows `previous`, or `previous` itself where nothing differs."""
    changed = {
        type_url: names
        for type_url in TypeUrl
        if (names := difference(previous.sets[type_url].by_name, sets[type_url].by_name))
    }
    if not changed and problems == previous.problems and previous.sequence:
        return previous
    sequence = previous.sequence + 1
    return Snapshot(
        sequence=sequence,
        sets=MappingProxyType(dict(sets)),
        problems=problems,
        recent=(*previous.recent, Change(sequence, MappingProxyType(changed)))[-RECENT_CHANGES:],
    )


def difference(old: Mapping[str, Resource], new: Mapping[str, Resource]) -> Names:
    """Name the resources that were added, removed, or have another version."""
    if old is new:
        return frozenset()
    changed = {name for name, resource in new.items() if not _same(old.get(name), resource)}
    changed.update(name for name in old if name not in new)
    return frozenset(changed)


def _same(old: Resource | None, new: Resource) -> bool:
    return old is new or (old is not None and old.version == new.version and old.on_demand == new.on_demand)


def _set(resources: Mapping[str, Resource], previous: ResourceSet, make: DeriveDraft | None) -> ResourceSet:
    if (previous.derive is None) == (make is None) and not difference(previous.by_name, resources):
        return previous
    return ResourceSet(resources, _deriver(make))


def _deriver(make: DeriveDraft | None) -> Derive | None:
    if make is None:
        return None

    @lru_cache(maxsize=_DERIVED_KEPT)
    def derive(name: str) -> Resource | None:
        made = make(name)
        return None if made is None else Resource.of(made)

    return derive


def _encode(drafts: Iterable[Draft], known: Mapping[str, Resource]) -> dict[str, Resource]:
    """Encode drafts, by name in sorted order; a known resource with the same bytes is kept as it is."""
    encoded: dict[str, Resource] = {}
    for draft in sorted(drafts, key=lambda draft: draft.name):
        old = known.get(draft.name)
        encoded[draft.name] = old if old is not None and _unchanged(old, draft) else Resource.of(draft)
    return encoded


def _unchanged(old: Resource, draft: Draft) -> bool:
    if (old.on_demand, old.ttl) != (draft.on_demand, draft.ttl):
        return False
    return old.packed is draft.packed or old.packed == draft.packed
