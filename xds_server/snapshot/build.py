"""From drafts to the next snapshot: encode what is new, keep what is not, and say what changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from xds_server.model.problem import Code, Problem
from xds_server.model.steps import Steps, finish
from xds_server.model.table import Table, differing
from xds_server.model.types import TypeUrl
from xds_server.snapshot.check import check, check_together, close_references
from xds_server.snapshot.resource import Key, Resource, Resources
from xds_server.snapshot.snapshot import EMPTY, Derive, Names, ResourceSet, Snapshot
from xds_server.snapshot.withhold import told_withheld, withhold
from xds_server.translate.packing import Draft

DeriveDraft: TypeAlias = Callable[[str], Draft | None]
Origin: TypeAlias = Callable[[TypeUrl, str], str]
"""Names the object that has to be mended when a resource is bad."""

_NOTHING_DERIVED: Final[Mapping[TypeUrl, DeriveDraft]] = MappingProxyType({})
_DERIVED_KEPT: Final = 1024

_NO_DRAFTS: Final = Table[Draft]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a build leaves to the next one, which looks only at what differs from it.

    `encoded` are the drafts as resources. `bad` are those of them that break a rule by themselves, each with
    a sentence, and `complaining` those of which a part was left out. `closed` is what was served of them, all
    references of which lead somewhere.
    """

    drafts: Mapping[TypeUrl, Table[Draft]]
    encoded: Resources
    bad: Mapping[Key, str]
    complaining: Mapping[Key, Resource]
    closed: Resources


_NO_RESOURCES: Final = MappingProxyType({one: entries.by_name for one, entries in EMPTY.sets.items()})
_NOTHING_MADE: Final = Made(
    drafts=dict.fromkeys(TypeUrl, _NO_DRAFTS),
    encoded=_NO_RESOURCES,
    bad=MappingProxyType({}),
    complaining=MappingProxyType({}),
    closed=_NO_RESOURCES,
)


def _own_name(type_url: TypeUrl, name: str) -> str:
    return f"{type_url.short} {name}"


def build(
    drafts: Mapping[TypeUrl, Table[Draft]],
    problems: Iterable[Problem],
    previous: Snapshot,
    derived: Mapping[TypeUrl, DeriveDraft] = _NOTHING_DERIVED,
    origin: Origin = _own_name,
) -> Snapshot:
    """Give the snapshot that follows `previous`, all at once; `building` tells the rest."""
    return finish(building(drafts, problems, previous, derived, origin))


def building(
    drafts: Mapping[TypeUrl, Table[Draft]],
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
    before: Made = previous.made or _NOTHING_MADE
    given = {type_url: drafts.get(type_url, _NO_DRAFTS) for type_url in TypeUrl}
    encoded, bad = yield from _encode(given, before, previous)
    yield
    changed = {
        (type_url, name)
        for type_url, resources in encoded.items()
        for name in differing(before.encoded[type_url], resources)
    }
    complaining = {key: one for key, one in before.complaining.items() if key not in changed}
    complaining |= {
        one.key: one
        for type_url, name in changed
        if (one := encoded[type_url].get(name)) is not None and one.complaints
    }
    withheld = dict(bad)
    standing = _that_stand_together(encoded, withheld, previous)
    yield
    closed, dangling = close_references(standing, before.closed)
    yield
    sets = {
        type_url: _set(closed[type_url], previous.sets[type_url], derived.get(type_url))
        for type_url in TypeUrl
    }
    served = (one for one in complaining.values() if one.name in closed[one.type] and one.key not in withheld)
    complaints = (*_left_out(served, origin), *_withheld(withheld, previous, origin))
    made = Made(drafts=given, encoded=encoded, bad=bad, complaining=complaining, closed=closed)
    return succeed(previous, sets, tuple(sorted({*problems, *dangling, *complaints})), made)


def _encode(
    drafts: Mapping[TypeUrl, Table[Draft]], before: Made, previous: Snapshot
) -> Steps[tuple[Resources, Mapping[Key, str]]]:
    """Encode what differs from before; a known resource with the same bytes is kept as it is.

    Give with it what breaks a rule, each with a sentence.
    """
    encoded = dict(before.encoded)
    bad = dict(before.bad)
    for type_url, of_type in drafts.items():
        if of_type is before.drafts[type_url]:
            continue
        served, changes = previous.sets[type_url].by_name, dict[str, Resource | None]()
        for name in sorted(differing(before.drafts[type_url], of_type)):
            bad.pop((type_url, name), None)
            changes[name] = _encoded(of_type.get(name), served.get(name), bad)
            yield
        encoded[type_url] = before.encoded[type_url].changed(changes)
    return encoded, bad


def _encoded(draft: Draft | None, old: Resource | None, bad: dict[Key, str]) -> Resource | None:
    if draft is None or (old is not None and _unchanged(old, draft)):
        return None if draft is None else old
    if (known := _GOOD.get(draft)) is not None:
        return known
    checked = check(draft, None if old is None else old.packed)
    made = Resource.of(checked.draft or draft, draft.packed, checked.complaints, checked.claims)
    if checked.draft is None:
        bad[draft.type, draft.name] = " ".join(checked.complaints)
    elif not checked.complaints:
        _GOOD[draft] = made
    return made


_GOOD: Final[WeakKeyDictionary[Draft, Resource]] = WeakKeyDictionary()
"""What was made of drafts that break no rule: groups share many of them."""


def _unchanged(old: Resource, draft: Draft) -> bool:
    if (old.on_demand, old.ttl) != (draft.on_demand, draft.ttl):
        return False
    return old.source is draft.packed or old.source == draft.packed


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
            encoded = {**encoded, **withhold(encoded, sorted(due), served)}
        due = {key: says for key, says in check_together(encoded, served).items() if key not in bad}
        if not due:
            return encoded
        bad |= due


def succeed(
    previous: Snapshot,
    sets: Mapping[TypeUrl, ResourceSet],
    problems: tuple[Problem, ...],
    made: Made | None = None,
) -> Snapshot:
    """Give the snapshot of `sets` that follows `previous`, or `previous` itself where nothing differs.

    `made` is what the next build may go on from.
    """
    same = all(
        entries is before or not difference(before.by_name, entries.by_name)
        for entries, before in ((sets[type_url], previous.sets[type_url]) for type_url in TypeUrl)
    )
    if same and problems == previous.problems and previous.sequence:
        return previous
    return Snapshot(
        sequence=previous.sequence + 1, sets=MappingProxyType(dict(sets)), problems=problems, made=made
    )


def difference(old: Mapping[str, Resource], new: Mapping[str, Resource]) -> Names:
    """Name the resources that were added, removed, or have another version."""
    if not old:
        # At the start everything is new.
        return frozenset(new)
    return frozenset(name for name in differing(old, new) if not _same(old.get(name), new.get(name)))


def _same(old: Resource | None, new: Resource | None) -> bool:
    if old is None or new is None:
        return old is new
    return old.version == new.version and old.on_demand == new.on_demand


def _set(resources: Table[Resource], previous: ResourceSet, make: DeriveDraft | None) -> ResourceSet:
    derives_alike = (previous.derive is None) == (make is None)
    if derives_alike and (resources is previous.by_name or not difference(previous.by_name, resources)):
        return previous
    return ResourceSet(resources, _deriver(make), previous)


def _deriver(make: DeriveDraft | None) -> Derive | None:
    if make is None:
        return None

    @lru_cache(maxsize=_DERIVED_KEPT)
    def derive(name: str) -> Resource | None:
        made = make(name)
        fit = None if made is None else check(made).draft
        return None if fit is None else Resource.of(fit)

    return derive


def _left_out(resources: Iterable[Resource], origin: Origin) -> Iterator[Problem]:
    """Tell what was left out of resources."""
    for one in resources:
        sentence = f"{one.type.short} {one.name}: {' '.join(one.complaints)}"
        code = Code.ENDPOINT_INVALID if one.type is TypeUrl.ENDPOINTS else Code.RESOURCE_INVALID
        yield Problem(code=code, source=origin(one.type, one.name), sentence=sentence)


def _withheld(bad: Mapping[Key, str], previous: Snapshot, origin: Origin) -> Iterator[Problem]:
    """Tell which resources are withheld altogether."""
    for (type_url, name), complaint in bad.items():
        told = told_withheld((type_url, name), previous.sets[type_url].by_name.get(name))
        yield Problem(
            code=Code.RESOURCE_INVALID, source=origin(type_url, name), sentence=f"{told}: {complaint}"
        )
