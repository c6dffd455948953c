"""A table: an immutable mapping by name that knows in which names it differs from those it was made of.

So a stage that has dealt with an earlier table finds what is new without a look at the rest.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from operator import is_not
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

REMEMBERED: Final = 64
"""How many steps back a table knows; one that is further behind compares everything.

They name no more than a quarter of the values together, or so many of a small table: above that it is no
slower to compare.
"""

MOST_BESIDE: Final = 128
"""How many values may be held beside the shared ones."""

Line: TypeAlias = tuple[tuple[object, frozenset[str]], ...]
"""Marks of tables, the newest first; each with the names in which the next newer one differs from it."""

_NOTHING: Final = frozenset[str]()

_Held: TypeAlias = tuple[dict[str, T], dict[str, T | None]]


class Table(Mapping[str, T]):
    """Values by name, in sorted order; values are told apart by identity, and None is none.

    users = Table({"user": one, "order": two})
    later = users.changed({"user": other, "order": None})
    differing(users, later)  # {"user", "order"}

    A changed table shares the values of the one it was made of, and holds beside them what differs, up to
    a bound; so one change among thousands costs no copy of all. It is put in order when it is walked through.
    """

    __slots__ = ("_held", "_named", "_size", "line")

    def __init__(self, values: Mapping[str, T] | None = None) -> None:
        found = values or {}
        # The shared values, and what differs from them; replaced together, as a thread may read meanwhile.
        self._held: _Held[T] = {name: found[name] for name in sorted(found)}, {}
        self._size = len(found)
        self._named = 0
        """How many names the steps of the line have together, or had."""
        self.line: Line = ((object(), _NOTHING),)
        """This table and those it was made of, the newest first."""

    def changed(self, changes: Mapping[str, T | None]) -> "Table[T]":
        """Give the table with other values for some names; None takes a name out.

        What is there already, the very object, is no change; without any this table itself is given.
        """
        if not self._size:
            # `get` of every name would be most of what the first table of many costs.
            real: dict[str, T | None] = {name: one for name, one in changes.items() if one is not None}
        else:
            real = {name: value for name, value in changes.items() if self.get(name) is not value}
        if not real:
            return self
        later: Table[T] = Table()
        base, over = self._held
        later._held = base, {**over, **real}
        added = sum(name not in self for name in real) if self._size else len(real)
        later._size = self._size + added - sum(value is None for value in real.values())
        if len(over) + len(real) > MOST_BESIDE:
            later._put_in_order()
        later.line, later._named = self._followed(frozenset(real), later._size)
        return later

    def _followed(self, names: frozenset[str], size: int) -> tuple[Line, int]:
        """Give the line of a table of that size that differs in these names, and how many its steps name."""
        known = (self.line[0][0], names), *self.line[1:REMEMBERED]
        named = self._named + len(names)
        most = max(size // 4, REMEMBERED)
        if named > most:
            # Half of them go at a time, so that a step costs no look at all those before it.
            known = tuple(_newest(known, most // 2))
            named = sum(len(step) for _, step in known)
        return ((object(), _NOTHING), *known), named

    def _put_in_order(self) -> dict[str, T]:
        """Give all values in order, which are held like that from now on."""
        base, over = self._held
        if over:
            merged = {**base, **over}
            values = {name: value for name, value in merged.items() if value is not None}
            base = values if over.keys() <= base.keys() else {name: values[name] for name in sorted(values)}
            self._held = base, {}
        return base

    def becoming(self, values: Mapping[str, T]) -> "Table[T]":
        """Give the table of these values instead, as a change of this one."""
        held = self._put_in_order()
        changes: dict[str, T | None] = {
            name: value for name, value in values.items() if held.get(name) is not value
        }
        if len(values) < len(held) + len(changes):
            changes |= dict.fromkeys(held.keys() - values.keys())
        return self.changed(changes)

    def changed_between(self, older: "Table[Any]") -> frozenset[str] | None:
        """Name what was changed on the way from one table to another; None where that is not known.

        They need not follow each other, as long as both were made of a third.
        """
        if len(self.line) > 1 and self.line[1][0] is older.line[0][0]:
            # The very next one: nearly every pair that is asked about.
            return self.line[1][1]
        back = set[str]()
        for mark, changed in older.line:
            back |= changed
            for position, (known, _) in enumerate(self.line):
                if known is mark:
                    return frozenset(back.union(*(names for _, names in self.line[: position + 1])))
        return None

    def __getitem__(self, name: str) -> T:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: str, default: T | None = None) -> T | None:  # type: ignore[override]
        """Give a value, or the default."""
        base, over = self._held
        if name in over:
            value = over[name]
            return default if value is None else value
        return base.get(name, default)

    def __contains__(self, name: object) -> bool:
        base, over = self._held
        return over[name] is not None if name in over else name in base

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return iter(self._put_in_order())

    # Those of the dictionary itself: what `Mapping` gives is ten times slower.

    def keys(self) -> KeysView[str]:
        """Give the names."""
        return self._put_in_order().keys()

    def values(self) -> ValuesView[T]:
        """Give the values."""
        return self._put_in_order().values()

    def items(self) -> ItemsView[str, T]:
        """Give names and values."""
        return self._put_in_order().items()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return self._put_in_order() == other
        names = self.changed_between(other)
        if names is None:
            return self.items() == other.items() if self._size == len(other) else False
        # Nothing else can differ; and every cell that holds a catalog asks this of each change.
        return all(self.get(name) == other.get(name) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Table({self._put_in_order()!r})"


def _newest(line: Line, most: int) -> Iterator[tuple[object, frozenset[str]]]:
    """Give the newest steps, which name no more than so many together."""
    named = 0
    for step in line:
        named += len(step[1])
        if named > most:
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
    if not old:
        return frozenset(new)
    known = map(old.get, new.keys())
    found = {name for name, unlike in zip(new, map(is_not, known, new.values()), strict=True) if unlike}
    found.update(old.keys() - new.keys())
    return frozenset(found)
