"""A table: an immutable mapping by name that knows in which names it differs from those it was made of.

So a stage that has dealt with an earlier table finds what is new without a look at the rest.
"""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from operator import is_not
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

REMEMBERED: Final = 64
"""How many steps back a table knows; one that is further behind compares everything."""

Line: TypeAlias = tuple[tuple[object, frozenset[str]], ...]
"""Marks of tables, the newest first; each with the names in which the next newer one differs from it."""

_NOTHING: Final = frozenset[str]()


class Table(Mapping[str, T]):
    """Values by name, in sorted order; values are told apart by identity.

    users = Table({"user": one, "order": two})
    later = users.changed({"user": other, "order": None})
    differing(users, later)  # {"user", "order"}
    """

    __slots__ = ("_values", "line")

    def __init__(self, values: Mapping[str, T] | None = None) -> None:
        found = values or {}
        self._values: dict[str, T] = {name: found[name] for name in sorted(found)}
        self.line: Line = ((object(), _NOTHING),)
        """This table and those it was made of, the newest first."""

    def changed(self, changes: Mapping[str, T | None]) -> "Table[T]":
        """Give the table with other values for some names; None takes a name out.

        What is there already, the very object, is no change; without any this table itself is given.
        """
        real = {name: value for name, value in changes.items() if self._values.get(name) is not value}
        if not real:
            return self
        values = self._values.copy()
        for name, value in real.items():
            if value is None:
                del values[name]
            else:
                values[name] = value
        later = Table[T]()
        in_order = real.keys() <= self._values.keys()
        later._values = values if in_order else {name: values[name] for name in sorted(values)}
        (mark, _), *before = self.line
        later.line = ((object(), _NOTHING), *_remembered((mark, frozenset(real)), before, len(values)))
        return later

    def becoming(self, values: Mapping[str, T]) -> "Table[T]":
        """Give the table of these values instead, as a change of this one."""
        changes: dict[str, T | None] = {
            name: value for name, value in values.items() if self._values.get(name) is not value
        }
        if len(values) < len(self._values) + len(changes):
            changes |= dict.fromkeys(self._values.keys() - values.keys())
        return self.changed(changes)

    def changed_between(self, older: "Table[Any]") -> frozenset[str] | None:
        """Name what was changed on the way from one table to another; None where that is not known.

        They need not follow each other, as long as both were made of a third.
        """
        names = back = _NOTHING
        reached = {}
        for mark, changed in self.line:
            names |= changed
            reached[mark] = names
        for mark, changed in older.line:
            back |= changed
            if mark in reached:
                return back | reached[mark]
        return None

    def __getitem__(self, name: str) -> T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    # Those of the dictionary itself: what `Mapping` gives is ten times slower.

    def get(self, name: str, default: T | None = None) -> T | None:  # type: ignore[override]
        """Give a value, or the default."""
        return self._values.get(name, default)

    def keys(self) -> KeysView[str]:
        """Give the names."""
        return self._values.keys()

    def values(self) -> ValuesView[T]:
        """Give the values."""
        return self._values.values()

    def items(self) -> ItemsView[str, T]:
        """Give names and values."""
        return self._values.items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Table):
            return self._values == other._values
        return self._values == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Table({self._values!r})"


def _remembered(
    last: tuple[object, frozenset[str]], before: Iterable[tuple[object, frozenset[str]]], size: int
) -> Iterator[tuple[object, frozenset[str]]]:
    """Give the steps to remember: not more names in all than it takes to compare everything."""
    names = 0
    for _, step in zip(range(REMEMBERED), (last, *before), strict=False):
        names += len(step[1])
        if names > max(size, REMEMBERED):
            return
        yield step


def differing(old: Mapping[str, T], new: Mapping[str, T]) -> frozenset[str]:
    """Name the values that are not the very same objects in both, or are in one only."""
    if old is new:
        return frozenset()
    if isinstance(old, Table) and isinstance(new, Table):
        names = new.changed_between(old)
        if names is not None:
            return frozenset(name for name in names if old.get(name) is not new.get(name))
    known = map(old.get, new.keys())
    found = {name for name, unlike in zip(new, map(is_not, known, new.values()), strict=True) if unlike}
    found.update(old.keys() - new.keys())
    return frozenset(found)
