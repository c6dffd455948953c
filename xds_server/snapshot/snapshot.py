"""The snapshot: all resources of a proxy group at one moment, and what changed on the way to it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.model.problem import Problem
from xds_server.model.types import TypeUrl
from xds_server.snapshot.resource import Key, Resource, content_version

Names: TypeAlias = frozenset[str]
Derive: TypeAlias = Callable[[str], Resource | None]

RECENT_CHANGES: Final = 64
"""How many changes a snapshot remembers; a stream that is further behind compares everything."""


class ResourceSet:
    """All resources of one type, by name in sorted order.

    `derive` gives a resource for a name that tells all there is to say, like the address a gRPC server
    listens on; it is always the same one.
    """

    def __init__(self, resources: Mapping[str, Resource], derive: Derive | None = None) -> None:
        self.by_name: Mapping[str, Resource] = MappingProxyType(dict(resources))
        self.derive = derive

    def get(self, name: str) -> Resource | None:
        """Give a resource by its name, or None."""
        found = self.by_name.get(name)
        return self.derive(name) if found is None and self.derive is not None else found

    @cached_property
    def wildcard(self) -> Mapping[str, Resource]:
        """What a wildcard covers: everything that is not on demand."""
        return MappingProxyType({name: one for name, one in self.by_name.items() if not one.on_demand})

    @cached_property
    def expiring(self) -> Mapping[str, Resource]:
        """What has a time to live."""
        return {name: one for name, one in self.by_name.items() if one.ttl is not None}

    @cached_property
    def version(self) -> str:
        """The version of what a wildcard covers: the hash of the names and versions of its resources."""
        return set_version(self.wildcard.values())


def set_version(resources: Iterable[Resource]) -> str:
    """Name a set of resources, given in any order, by its content."""
    lines = sorted(f"{resource.name}\x00{resource.version}\n" for resource in resources)
    return content_version("".join(lines).encode())


@dataclass(frozen=True, slots=True)
class Change:
    """Which names of which types differ between the snapshot before `sequence` and the one at it."""

    sequence: int
    names: Mapping[TypeUrl, Names]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """An immutable, consistent set of resources.

    `sequence` orders the snapshots of one process; it never reaches a client. `recent` are the last changes,
    oldest first. `replaced` is what is not as in the group's own snapshot of that sequence.
    """

    sequence: int
    sets: Mapping[TypeUrl, ResourceSet]
    problems: tuple[Problem, ...] = ()
    recent: tuple[Change, ...] = field(default=(), repr=False)
    replaced: frozenset[Key] = frozenset()

    def resource(self, type_url: TypeUrl, name: str) -> Resource | None:
        """Give a resource by type and name, or None."""
        return self.sets[type_url].get(name)

    def changed_since(self, sequence: int) -> Mapping[TypeUrl, Names] | None:
        """Give the names that changed after the snapshot of that sequence; None where it is long ago."""
        if sequence >= self.sequence:
            return {}
        if not self.recent or self.recent[0].sequence > sequence + 1:
            return None
        changed: dict[TypeUrl, Names] = {}
        for change in self.recent:
            if change.sequence > sequence:
                for type_url, names in change.names.items():
                    changed[type_url] = changed.get(type_url, frozenset()) | names
        return changed

    def may_differ(self, older: "Snapshot") -> Mapping[TypeUrl, Names] | None:
        """Give the names that may differ from a snapshot of the same group; None where that is long ago."""
        changed = self.changed_since(older.sequence)
        if changed is None or not (self.replaced or older.replaced):
            return changed
        names = {type_url: set(found) for type_url, found in changed.items()}
        for type_url, name in self.replaced | older.replaced:
            names.setdefault(type_url, set()).add(name)
        return {type_url: frozenset(found) for type_url, found in names.items()}


EMPTY: Final = Snapshot(
    sequence=0, sets=MappingProxyType({type_url: ResourceSet({}) for type_url in TypeUrl})
)
"""The state before the first snapshot. It is never served."""
