"""From drafts to the next snapshot: encode what is new, keep what is not, and say what changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.model.problem import Code, Problem
from xds_server.model.steps import Steps, finish
from xds_server.model.types import TypeUrl
from xds_server.snapshot.check import check, check_together, close_references
from xds_server.snapshot.resource import Key, Resource, Resources
from xds_server.snapshot.snapshot import RECENT_CHANGES, Change, Derive, Names, ResourceSet, Snapshot
from xds_server.snapshot.withhold import told_withheld, withhold
from xds_server.translate.packing import Draft

DeriveDraft: TypeAlias = Callable[[str], Draft | None]
Origin: TypeAlias = Callable[[TypeUrl, str], str]
"""Names the object that has to be mended when a resource is bad."""

_NOTHING_DERIVED: Final[Mapping[TypeUrl, DeriveDraft]] = MappingProxyType({})
_DERIVED_KEPT: Final = 1024


def _own_name(type_url: TypeUrl, name: str) -> str:
    return f"{type_url.short} {name}"


def build(
    drafts: Mapping[TypeUrl, Iterable[Draft]],
    problems: Iterable[Problem],
    previous: Snapshot,
    derived: Mapping[TypeUrl, DeriveDraft] = _NOTHING_DERIVED,
    origin: Origin = _own_name,
) -> Snapshot:
    """Give the snapshot that follows `previous`, all at once; `building` tells the rest."""
    return finish(building(drafts, problems, previous, derived, origin))


def building(
    drafts: Mapping[TypeUrl, Iterable[Draft]],
    problems: Iterable[Problem],
    previous: Snapshot,
    derived: Mapping[TypeUrl, DeriveDraft] = _NOTHING_DERIVED,
    origin: Origin = _own_name,
) -> Steps[Snapshot]:
    """Give, in steps, the snapshot that follows `previous`.

    `derived` makes drafts for names that are in no list, always the same for the same name. What breaks a
    rule is withheld: its version in `previous` stays, and `origin` names whom to blame. Resources and sets
    that did not change are the previous ones, the very objects. Where nothing changed at all, problems
    included, the previous snapshot itself is given back.
    """
    encoded: Resources = {}
    bad: dict[Key, str] = {}
    for type_url in TypeUrl:
        encoded[type_url] = yield from _encode(drafts.get(type_url, ()), previous.sets[type_url].by_name, bad)
    yield
    encoded = _that_stand_together(encoded, bad, previous)
    yield
    closed, dangling = close_references(encoded)
    yield
    sets = {
        type_url: _set(closed[type_url], previous.sets[type_url], derived.get(type_url))
        for type_url in TypeUrl
    }
    found = (*problems, *dangling, *_complaints(closed, bad, previous, origin))
    return succeed(previous, sets, tuple(sorted(set(found))))


def _that_stand_together(encoded: Resources, bad: dict[Key, str], previous: Snapshot) -> Resources:
    """Give the resources with what is `bad` withheld, and what could not stand beside the others then.

    The latter is added to `bad`. What is withheld is replaced by what is served now, which may be in the
    way of another one; hence the loop, in which every round finds something that was not bad before.
    """

    def served(key: Key) -> Resource | None:
        return previous.sets[key[0]].by_name.get(key[1])

    due = dict(bad)
    while True:
        if due:
            encoded = encoded | withhold(encoded, sorted(due), served)
        due = {key: says for key, says in check_together(encoded, served).items() if key not in bad}
        if not due:
            return encoded
        bad |= due


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
        fit = None if made is None else check(made).draft
        return None if fit is None else Resource.of(fit)

    return derive


def _encode(
    drafts: Iterable[Draft], known: Mapping[str, Resource], bad: dict[Key, str]
) -> Steps[dict[str, Resource]]:
    """Encode drafts, by name in sorted order; a known resource with the same bytes is kept as it is.

    What breaks a rule is in `bad` then, with a sentence.
    """
    encoded: dict[str, Resource] = {}
    for draft in sorted(drafts, key=lambda draft: draft.name):
        old = known.get(draft.name)
        if old is not None and _unchanged(old, draft):
            encoded[draft.name] = old
            continue
        checked = check(draft, None if old is None else old.packed)
        if checked.draft is None:
            bad[draft.type, draft.name] = " ".join(checked.complaints)
        encoded[draft.name] = Resource.of(
            checked.draft or draft, draft.packed, checked.complaints, checked.claims
        )
        yield
    return encoded


def _unchanged(old: Resource, draft: Draft) -> bool:
    if (old.on_demand, old.ttl) != (draft.on_demand, draft.ttl):
        return False
    return old.source is draft.packed or old.source == draft.packed


def _complaints(
    resources: Resources, bad: Mapping[Key, str], previous: Snapshot, origin: Origin
) -> Iterator[Problem]:
    """Tell what was left out of resources, and which resources are withheld altogether."""
    for type_url, by_name in resources.items():
        for name, one in by_name.items():
            if one.complaints and one.key not in bad:
                sentence = f"{type_url.short} {name}: {' '.join(one.complaints)}"
                code = Code.ENDPOINT_INVALID if type_url is TypeUrl.ENDPOINTS else Code.RESOURCE_INVALID
                yield Problem(code=code, source=origin(type_url, name), sentence=sentence)
    for (type_url, name), complaint in bad.items():
        told = told_withheld((type_url, name), previous.sets[type_url].by_name.get(name))
        yield Problem(
            code=Code.RESOURCE_INVALID, source=origin(type_url, name), sentence=f"{told}: {complaint}"
        )
