"""Sets of names, each one object for all streams that subscribe to the same."""

from collections.abc import Iterable
from typing import Final, Self
from weakref import ReferenceType, WeakValueDictionary, ref

NOTHING: Final = frozenset[str]()


class Names(frozenset[str]):
    """An immutable set of names, as `shared` gives it, which knows the last step taken from it."""

    __slots__ = ("_next", "_since", "characters", "longest")

    _next: "tuple[frozenset[str], frozenset[str], ReferenceType[Names]] | None"
    _since: "tuple[ReferenceType[Names], frozenset[str], frozenset[str]] | None"
    longest: int
    """The characters of the longest name."""
    characters: int
    """The characters of all names together."""

    def __new__(cls, names: Iterable[str] = ()) -> Self:
        """Make a set; only `shared` does."""
        made = super().__new__(cls, names)
        lengths = list(map(len, made))
        made._next = made._since = None
        made.longest, made.characters = max(lengths, default=0), sum(lengths)
        return made

    def changed(self, gained: frozenset[str], lost: frozenset[str]) -> "Names":
        """Give the names with some more and some less; who takes the same step shares what it finds."""
        if (
            self._next is not None
            and (gained, lost) == self._next[:2]
            and (found := self._next[2]()) is not None
        ):
            return found
        made = shared((self | gained) - lost)
        self._next = gained, lost, ref(made)
        return made

    def since(self, older: "Names") -> tuple[frozenset[str], frozenset[str]]:
        """Give what was gained and what was lost on the way from an older set."""
        if self is older:
            return NOTHING, NOTHING
        if not older:
            return self, NOTHING
        if self._since is None or self._since[0]() is not older:
            self._since = ref(older), self - older, older - self
        return self._since[1:]


_POOL: Final[WeakValueDictionary[int, Names]] = WeakValueDictionary()
"""The sets that somebody holds, by hash."""


def shared(names: Iterable[str]) -> Names:
    """Give the one set of these names."""
    made = Names(names)
    known = _POOL.get(hash(made))
    if known is not None and known == made:
        return known
    _POOL[hash(made)] = made
    return made


NO_NAMES: Final = shared(())
