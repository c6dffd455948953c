"""The snapshot: all resources of a proxy group at one moment."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import shake_128
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from xds_server.model.problem import Problem
from xds_server.model.table import Table, differing
from xds_server.model.types import TypeUrl
from xds_server.snapshot.resource import Key, Resource, content_version

Names: TypeAlias = frozenset[str]
Derive: TypeAlias = Callable[[str], Resource | None]

_SUM_BYTES: Final = 128
_SUM_ENDS_AT: Final = 1 << 8 * _SUM_BYTES
_HASHES_KEPT: Final = 256
"""What changed last changed in the sets of other groups too."""


class ResourceSet:
    """All resources of one type, by name in sorted order.

    `derive` gives a resource for a name that tells all there is to say, like the address a gRPC server
    listens on; it is always the same one. What is known of `previous`, the set before it, is not looked into
    again. `wildcard` is what a wildcard covers: everything that is not on demand. `expiring` has a time to
    live.
    """

    def __init__(
        self,
        resources: Mapping[str, Resource],
        derive: Derive | None = None,
        previous: "ResourceSet | None" = None,
    ) -> None:
        self.by_name = resources if isinstance(resources, Table) else Table(resources)
        self.derive = derive
        before = _NO_RESOURCES if previous is None else previous.by_name
        changed = {name: self.by_name.get(name) for name in differing(before, self.by_name)}
        known = _NO_RESOURCES if previous is None else previous.wildcard
        covered = {name: None if one is None or one.on_demand else one for name, one in changed.items()}
        any_on_demand = any(one is not None and one.on_demand for one in changed.values())
        self.wildcard: Table[Resource] = (
            self.by_name if known is before and not any_on_demand else known.changed(covered)
        )
        expired = _NO_RESOURCES if previous is None else previous.expiring
        expiring = {name: None if one is None or one.ttl is None else one for name, one in changed.items()}
        self.expiring: Table[Resource] = expired.changed(expiring)
        added = resource_sum(one for one in covered.values() if one is not None)
        lost = resource_sum(known[name] for name in covered if name in known)
        self.sum: int = ((0 if previous is None else previous.sum) + added - lost) % _SUM_ENDS_AT
        """The sum of what a wildcard covers, as `resource_sum` gives it."""

    def get(self, name: str) -> Resource | None:
        """Give a resource by its name, or None."""
        found = self.by_name.get(name)
        return self.derive(name) if found is None and self.derive is not None else found

    @cached_property
    def version(self) -> str:
        """The version of what a wildcard covers: as `set_version` gives it."""
        return _version(self.sum)


_NO_RESOURCES: Final = Table[Resource]()


def set_version(resources: Iterable[Resource]) -> str:
    """Name a set of resources, given in any order, by its content: their names and versions."""
    return _version(resource_sum(resources))


def resource_sum(resources: Iterable[Resource]) -> int:
    """Add up the hashes of resources, so that what joins or leaves a set costs itself only.

    A sum of hashes names a set of them as surely as one hash does if it is long enough: Bellare and
    Micciancio, "A New Paradigm for Collision-Free Hashing" (AdHash).
    """
    return sum(_hash(one.name, one.version) for one in resources) % _SUM_ENDS_AT


@lru_cache(maxsize=_HASHES_KEPT)
def _hash(name: str, version: str) -> int:
    return int.from_bytes(shake_128(f"{name}\x00{version}".encode()).digest(_SUM_BYTES))


def _version(total: int) -> str:
    return content_version(total.to_bytes(_SUM_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Snapshot:
    """An immutable, consistent set of resources.

    `sequence` orders the snapshots of one process; it shows in nonces, never in a version. `replaced` is what
    is not as in the group's own snapshot of that sequence. `made` is what the next build goes on from.
    """

    sequence: int
    sets: Mapping[TypeUrl, ResourceSet]
    problems: tuple[Problem, ...] = ()
    replaced: frozenset[Key] = frozenset()
    made: Any = field(default=None, repr=False)
    _differences: "WeakKeyDictionary[Snapshot, Mapping[TypeUrl, Names]]" = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    def resource(self, type_url: TypeUrl, name: str) -> Resource | None:
        """Give a resource by type and name, or None."""
        return self.sets[type_url].get(name)

    def may_differ(self, older: "Snapshot") -> Mapping[TypeUrl, Names]:
        """Name what differs from an older snapshot of the group: found once for all streams that go on."""
        known = self._differences.get(older)
        if known is None:
            found = {one: differing(older.sets[one].by_name, new.by_name) for one, new in self.sets.items()}
            known = MappingProxyType({one: names for one, names in found.items() if names})
            self._differences[older] = known
        return known


EMPTY: Final = Snapshot(
    sequence=0, sets=MappingProxyType({type_url: ResourceSet({}) for type_url in TypeUrl})
)
"""The state before the first snapshot. It is never served."""
