"""A table: an immutable mapping by name that knows in which names it differs from those it was made of.

So a stage that has dealt with the table before finds what is new without looking at the rest of it.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from operator import is_not
from typing import Any, Final, TypeVar

T = TypeVar("T")

REMEMBERED: Final = 64
"""How many steps back a table knows; one that is further behind compares everything."""


class Table(Mapping[str, T]):
    """Values by name, in sorted order; values are told apart by identity.

    users = Table({"user": one, "order": two})
    later = users.changed({"user": other, "order": None})
    differing(users, later)  # {"user", "order"}
    """

    __slots__ = ("_mark", "_steps", "_values")

    def __init__(self, values: Mapping[str, T] | None = None) -> None:
        found = values or {}
        self._values: dict[str, T] = {name: found[name] for name in sorted(found)}
        self._mark = object()
        self._steps: tuple[tuple[object, frozenset[str]], ...] = ()
        """The tables this one was made of, the last one first, each with the names changed since then."""

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
        later._steps = ((self._mark, frozenset(real)), *self._steps[: REMEMBERED - 1])
        return later

    def changed_since(self, older: "Table[Any]") -> frozenset[str] | None:
        """Name what was changed since a table this one was made of; None where it is not, or long ago."""
        names: frozenset[str] = frozenset()
        for mark, changed in self._steps:
            names |= changed
            if older.has_mark(mark):
                return names
        return None

    def has_mark(self, mark: object) -> bool:
        """Tell whether a table is the one that a later one remembers by this mark."""
        return self._mark is mark

    def __getitem__(self, name: str) -> T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    # Those of the dictionary itself: what `Mapping` gives is ten times slower.

    def get(self, name: str, default: Any = None) -> Any:
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


def differing(old: Mapping[str, T], new: Mapping[str, T]) -> frozenset[str]:
    """Name the values that are not the very same objects in both, or are in one only."""
    if old is new:
        return frozenset()
    if isinstance(old, Table) and isinstance(new, Table):
        names = new.changed_since(old)
        if names is not None:
            return frozenset(name for name in names if old.get(name) is not new.get(name))
    known = map(old.get, new.keys())
    found = {name for name, unlike in zip(new, map(is_not, known, new.values()), strict=True) if unlike}
    found.update(old.keys() - new.keys())
    return frozenset(found)
