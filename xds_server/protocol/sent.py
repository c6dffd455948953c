"""Which version of each name a client was sent last, of one type."""

from collections.abc import Iterable, Mapping
from typing import Final

from xds_server.model.table import Table, differing
from xds_server.protocol.wanted import NO_STEP, NOTHING_WANTED, Wanted
from xds_server.snapshot import Resource, ResourceSet

_FEW: Final = 64
"""Resources that are looked at one by one, as they may be of a table that is much larger."""


class Sent:
    """The version of each name that went out last, or that a reconnecting client said it has.

    It is what the client is to have (`wanted`), but for `exceptions`: names of which it was sent another
    version, or none, which is empty. So a stream that was sent everything holds nothing of its own, however
    much that is. Whatever `wanted` becomes, what was sent stays as it was: the names in which it differs
    become exceptions, or are none any more.
    """

    __slots__ = ("exceptions", "step", "wanted")

    def __init__(self) -> None:
        self.wanted = NOTHING_WANTED
        self.exceptions: dict[str, str] = {}
        self.step = NO_STEP
        """The last step: as long as somebody holds it, those behind take the very same."""

    def __contains__(self, name: str) -> bool:
        return bool(self.get(name))

    def get(self, name: str) -> str:
        """Give the version that was sent of a name, empty for none."""
        found = self.exceptions.get(name)
        return self.wanted.version(name) if found is None else found

    def put(self, name: str, version: str) -> None:
        """Note the version that was sent of a name, empty where the client does not have it any more."""
        if version == self.wanted.version(name):
            self.exceptions.pop(name, None)
        else:
            self.exceptions[name] = version

    def put_all(self) -> dict[str, str]:
        """Note that everything wanted was sent, and nothing else; give what the exceptions were."""
        exceptions, self.exceptions = self.exceptions, {}
        return exceptions

    def take(self, resources: Mapping[str, Resource]) -> dict[str, str]:
        """Note that resources were sent; give the versions sent before of those that are news."""
        plain = resources is self.step.news and len(resources) == len(self.exceptions) and self.behind_a_step
        if plain or (self.wanted.is_all(resources) and self.nothing):
            return self.put_all()
        before = {name: self.get(name) for name in self.news(resources)}
        for name in before:
            self.put(name, resources[name].version)
        return before

    @property
    def behind_a_step(self) -> bool:
        """Whether the client was sent everything but what the last step brought."""
        return bool(self.exceptions == self.step.before)

    @property
    def names(self) -> set[str]:
        """All names of which a version was sent."""
        return (self.wanted.all.keys() - self.exceptions.keys()) | {*self.stray}

    @property
    def stray(self) -> list[str]:
        """The names of which another version was sent than is wanted now."""
        return [name for name, version in self.exceptions.items() if version]

    @property
    def gone(self) -> list[str]:
        """The names of which a version was sent, and that are not there any more."""
        return [name for name in self.stray if self.wanted.get(name) is None]

    @property
    def nothing(self) -> bool:
        """Whether nothing was sent of all that is wanted."""
        exceptions = self.exceptions
        return not any(exceptions.values()) and len(exceptions) >= len(self.wanted.all)

    def news(self, resources: Mapping[str, Resource]) -> list[str]:
        """Name what of resources was not sent last in that very version."""
        if self.wanted.is_all(resources):
            names: Iterable[str] = self.exceptions
        elif isinstance(resources, Table) and len(resources) > len(self.exceptions) + _FEW:
            names = {*self.exceptions, *differing(self.wanted.all, resources)}
        else:
            names = resources
        found = ((name, resources.get(name)) for name in names)
        return [name for name, one in found if one is not None and self.get(name) != one.version]

    def offered(self, available: ResourceSet, changed: frozenset[str]) -> frozenset[str]:
        """Go over to another set of resources; name what of the `changed` ones differs for this client."""
        step = self.step = self.wanted.step(available, changed)
        self.wanted = step.after
        if not self.exceptions:
            self.exceptions = dict(step.before)
            return step.names
        for name, version in step.before.items():
            self.put(name, self.exceptions.get(name, version))
        return step.names

    def subscribed(self, wanted: Wanted) -> None:
        """Go over to what is wanted of the same resources since the subscription has changed."""
        before, self.wanted = self.wanted, wanted
        if not (before.names or before.wildcard):
            # Nothing was wanted, so nothing was sent.
            self.exceptions = dict.fromkeys(wanted.all, "")
            return
        gained, lost = wanted.names.since(before.names)
        affected = gained | lost if gained and lost else gained or lost
        if wanted.wildcard is not before.wildcard:
            affected = affected.union(wanted.available.wildcard)
        for name in affected:
            found = self.exceptions.get(name)
            self.put(name, before.version(name) if found is None else found)
