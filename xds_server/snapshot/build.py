"""From drafts to the next snapshot: encode what is new, keep what is not, and say what changed."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from xds_server.model.problem import Problem
from xds_server.model.types import TypeUrl
from xds_server.snapshot.check import close_references
from xds_server.snapshot.resource import Resource
from xds_server.snapshot.snapshot import RECENT_CHANGES, Change, Names, ResourceSet, Snapshot
from xds_server.translate.packing import Draft


def build(
    drafts: Mapping[TypeUrl, Iterable[Draft]], problems: Iterable[Problem], previous: Snapshot
) -> Snapshot:
    """Give the snapshot that follows `previous`.

    Resources and sets that did not change are the previous ones, the very objects. Where nothing changed at
    all, problems included, the previous snapshot itself is given back.
    """
    encoded = {
        type_url: _encode(drafts.get(type_url, ()), previous.sets[type_url].by_name) for type_url in TypeUrl
    }
    closed, dangling = close_references(encoded)
    changed = {
        type_url: names
        for type_url in TypeUrl
        if (names := difference(previous.sets[type_url].by_name, closed[type_url]))
    }
    every_problem = tuple(sorted({*problems, *dangling}))
    if not changed and every_problem == previous.problems and previous.sequence:
        return previous
    sequence = previous.sequence + 1
    return Snapshot(
        sequence=sequence,
        sets=MappingProxyType(
            {
                type_url: ResourceSet(closed[type_url]) if type_url in changed else previous.sets[type_url]
                for type_url in TypeUrl
            }
        ),
        problems=every_problem,
        recent=(*previous.recent, Change(sequence, MappingProxyType(changed)))[-RECENT_CHANGES:],
    )


def difference(old: Mapping[str, Resource], new: Mapping[str, Resource]) -> Names:
    """Name the resources that were added, removed, or have another version."""
    changed = {name for name, resource in new.items() if not _same(old.get(name), resource)}
    changed.update(name for name in old if name not in new)
    return frozenset(changed)


def _same(old: Resource | None, new: Resource) -> bool:
    return old is new or (old is not None and old.version == new.version)


def _encode(drafts: Iterable[Draft], known: Mapping[str, Resource]) -> dict[str, Resource]:
    """Encode drafts, by name in sorted order; a known resource with the same bytes is kept as it is."""
    encoded: dict[str, Resource] = {}
    for draft in sorted(drafts, key=lambda draft: draft.name):
        old = known.get(draft.name)
        if old is not None and (old.packed is draft.packed or old.packed == draft.packed):
            encoded[draft.name] = old
        else:
            encoded[draft.name] = Resource.of(draft)
    return encoded
