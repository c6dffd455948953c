"""The version of each resource that clients of a kind accepted last, and what that needs."""

from collections.abc import Iterable, Iterator
from typing import Final

from xds_server.model.types import TypeUrl
from xds_server.model.withheld import Kept
from xds_server.snapshot import Key, Resource, Snapshot
from xds_server.translate.packing import Draft, Reference

_NEVER_KEPT: Final = TypeUrl.SECRET
"""No key material goes into what outlives the process."""


class Accepted:
    """References to each resource: the version accepted last, and the one accepted before it."""

    def __init__(self) -> None:
        self._known: dict[TypeUrl, dict[str, Resource]] = {type_url: {} for type_url in TypeUrl}
        self._before: dict[Key, Resource] = {}
        """What one may go back to that rejects what others accepted."""
        self._gone: set[Key] = set()
        """What is accepted and in the newest snapshot no more."""

    def good(self, key: Key, but: str | None) -> Resource | None:
        """Give the version accepted last that is another than `but`, if there is one."""
        known = self._known[key[0]].get(key[1])
        if known is not None and known.version == but:
            known = self._before.get(key)
        return None if known is None or known.version == but else known

    def has(self, key: Key, version: str) -> bool:
        """Tell whether this version was accepted last."""
        known = self._known[key[0]].get(key[1])
        return known is not None and known.version == version

    def take(self, resource: Resource, raw: Snapshot) -> None:
        """Remember an accepted resource, unless it is not of this server, or overtaken."""
        known = self._known[resource.type].get(resource.name)
        current = raw.sets[resource.type].by_name.get(resource.name)
        if (
            current is not None
            and known is not resource
            and (known is None or known.version != current.version)
        ):
            self._known[resource.type][resource.name] = resource
            if known is not None and known.version != resource.version:
                self._before[resource.key] = known

    def let_go(self, raw: Snapshot, before: Snapshot | None) -> None:
        """Forget what is gone from the newest snapshot, but for what an older version may need again."""
        if before is None:
            changed = {type_url: frozenset(by_name) for type_url, by_name in self._known.items()}
        else:
            changed = dict(raw.may_differ(before))
        self._gone.update((type_url, name) for type_url, names in changed.items() for name in names)
        gone = self._gone = {
            (type_url, name)
            for type_url, name in self._gone
            if name in self._known[type_url] and name not in raw.sets[type_url].by_name
        }
        if not gone:
            return
        for key in gone - self._needed(raw, gone):
            del self._known[key[0]][key[1]]
            self._before.pop(key, None)

    def _needed(self, raw: Snapshot, gone: set[Key]) -> set[Key]:
        """Give what of the gone resources accepted versions lead to that are no longer the newest."""
        waiting = [
            resource
            for type_url, by_name in self._known.items()
            for name, resource in by_name.items()
            if (type_url, name) not in gone and version_in(raw, (type_url, name)) != resource.version
        ]
        return {one.key for one in self._followed(waiting) if one.key in gone}

    def _followed(self, waiting: list[Resource]) -> Iterator[Resource]:
        """Give what resources lead to, as far as it is known, and what that leads to."""
        seen: set[Key] = set()
        while waiting:
            for reference in waiting.pop().references:
                key = (reference.type, reference.name)
                found = self._known[key[0]].get(key[1])
                if found is not None and key not in seen:
                    seen.add(key)
                    waiting.append(found)
                    yield found

    def kept(self, keys: Iterable[Key], raw: Snapshot) -> Iterator[Kept]:
        """Give the accepted versions of these, and what of their needs is in the newest snapshot no more."""
        first = [one for key in keys if (one := self.good(key, version_in(raw, key))) is not None]
        lost = [one for one in self._followed(list(first)) if version_in(raw, one.key) is None]
        for one in {each.key: each for each in (*first, *lost)}.values():
            if one.type is not _NEVER_KEPT:
                yield Kept(
                    type=one.type,
                    name=one.name,
                    packed=one.packed,
                    references=tuple((reference.type, reference.name) for reference in one.references),
                    on_demand=one.on_demand,
                    ttl=one.ttl,
                )

    def restore(self, kept: Iterable[Kept]) -> None:
        """Take over what was kept."""
        for one in kept:
            made = Draft(
                type=one.type,
                name=one.name,
                packed=one.packed,
                references=tuple(Reference(*reference) for reference in one.references),
                on_demand=one.on_demand,
                ttl=one.ttl,
            )
            if one.type is not _NEVER_KEPT:
                self._known[one.type][one.name] = Resource.of(made)


def version_in(snapshot: Snapshot, key: Key) -> str | None:
    """Give the version that a resource has in a snapshot."""
    resource = snapshot.resource(*key)
    return None if resource is None else resource.version
