"""What of the resources that are served a client is to have: one value for all clients that want the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from weakref import ReferenceType, WeakValueDictionary, ref

from xds_server.model.table import Table
from xds_server.protocol.names import NO_NAMES, Names
from xds_server.snapshot import Resource, ResourceSet


class Wanted:
    """The resources of one type that a client subscribes to: `names`, and all where it has a wildcard.

    What is on demand it is to have only if it names it (P-084). Only `wanted` makes one, and a step from one.
    """

    __slots__ = ("__weakref__", "_all", "_last", "_versions", "available", "names", "wildcard")

    def __init__(self, available: ResourceSet, names: Names, *, wildcard: bool) -> None:
        self.available: Final = available
        self.names: Final = names
        self.wildcard: Final = wildcard
        self._all: Table[Resource] | None = None
        self._versions: Mapping[str, str] | None = None
        self._last: ReferenceType[Step] | None = None

    def get(self, name: str) -> Resource | None:
        """Give a resource by its name, or None."""
        resource = self.available.get(name)
        if resource is None or name in self.names or (self.wildcard and not resource.on_demand):
            return resource
        return None

    @property
    def all(self) -> Table[Resource]:
        """Every one of them by name, in sorted order."""
        if self._all is None:
            self._all = self._found()
        return self._all

    def is_all(self, resources: Mapping[str, Resource]) -> bool:
        """Tell whether these are the very table of all of them; it is not made for that."""
        return resources is self._all

    def _found(self) -> Table[Resource]:
        if self.wildcard and not self.names:
            return self.available.wildcard
        get = self.available.get
        named = {name: one for name in self.names if (one := get(name)) is not None}
        return self.available.wildcard.changed(named) if self.wildcard else Table(named)

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each of them, as a client says it that has them all."""
        if self._versions is None:
            self._versions = {name: one.version for name, one in self.all.items()}
        return self._versions

    def version(self, name: str) -> str:
        """Give the version of one of them, empty where there is none."""
        resource = self.get(name)
        return "" if resource is None else resource.version

    def step(self, available: ResourceSet, changed: frozenset[str]) -> "Step":
        """Give the step to another set of resources, in which these names are others."""
        last = None if self._last is None else self._last()
        if last is None or last.after.available is not available:
            last = self._step(available, changed)
            self._last = ref(last)
        return last

    def _step(self, available: ResourceSet, changed: frozenset[str]) -> "Step":
        names = changed if self.wildcard else changed & self.names
        after = wanted(available, self.names, wildcard=self.wildcard)
        before = {name: old for name in names if (old := self.version(name)) != after.version(name)}
        found = {name: one for name in before if (one := after.get(name)) is not None}
        return Step(frozenset(before), before, Table(found), after)


@dataclass(slots=True, weakref_slot=True, frozen=True, eq=False)
class Step:
    """From what was wanted to what is wanted `after`.

    `names` differ: `before` are the versions they had, empty where there was none, and `news` what is there
    of them now.
    """

    names: frozenset[str]
    before: Mapping[str, str]
    news: Table[Resource]
    after: Wanted


def wanted(available: ResourceSet, names: Names = NO_NAMES, *, wildcard: bool = False) -> Wanted:
    """Give the one value that says what is wanted."""
    key = id(available), id(names), wildcard
    known = _POOL.get(key)
    if known is None:
        known = _POOL[key] = Wanted(available, names, wildcard=wildcard)
    return known


_POOL: Final[WeakValueDictionary[tuple[int, int, bool], Wanted]] = WeakValueDictionary()
"""What somebody wants, by the identity of what it is made of; it holds that, so nothing else has it."""

NOTHING_WANTED: Final = wanted(ResourceSet({}))
NO_STEP: Final = Step(frozenset(), {}, Table(), NOTHING_WANTED)
