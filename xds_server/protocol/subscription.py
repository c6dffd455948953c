"""What a client wants of one resource type on one stream.

The two variants say it differently: SotW repeats the whole list each time, delta says what is added and what
is dropped. Both know the wildcard `*`, and the legacy wildcard: a first request that names nothing (xDS
protocol, "How the client specifies what resources to return").
"""

from collections.abc import Iterable
from typing import Final

WILDCARD: Final = "*"


class Subscription:
    """The set of names a client subscribes to, and whether it subscribes to everything."""

    def __init__(self, *, legacy_wildcard: bool) -> None:
        self._legacy_wildcard = legacy_wildcard
        self._first = True
        self.wildcard = False
        self.names: set[str] = set()
        self.grown = False
        """Whether the last request added names."""
        self._gained: set[str] = set()
        self._lost: set[str] = set()

    def wants(self, name: str) -> bool:
        """Tell whether a resource of that name is subscribed to."""
        return self.wildcard or name in self.names

    def replace(self, requested: Iterable[str]) -> frozenset[str]:
        """Take a SotW request's `resource_names`; give what is wanted now and was not before.

        A new wildcard shows as `*` among the additions.
        """
        # P-045: some clients send [""] for "nothing".
        asked = {name for name in requested if name}
        # P-048: once a name was sent, an empty list no longer means everything.
        legacy = not asked and self._legacy_wildcard
        self._legacy_wildcard &= not asked
        wildcard = WILDCARD in asked or legacy
        names = asked - {WILDCARD}
        added = names - self.names
        if wildcard and not self.wildcard:
            added.add(WILDCARD)
        self.grown = bool(added)
        self._note(names - self.names, self.names - names)
        self.wildcard, self.names = wildcard, names
        return frozenset(added)

    def change(self, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> None:
        """Take a delta request's additions and removals; of a name in both, the removal wins (P-052)."""
        added, dropped = set(subscribe), set(unsubscribe)
        # P-047: only the very first request of the type, and only if it names nothing either way.
        if self._first and self._legacy_wildcard and not added and not dropped:
            self.wildcard = True
        self._first = False
        # P-050: naming resources does not end the legacy wildcard; unsubscribing from `*` does.
        if WILDCARD in added:
            self.wildcard = True
        if WILDCARD in dropped:
            self.wildcard = False
        new = added - {WILDCARD, ""} - self.names
        self.grown = bool(new)
        self._note(new - dropped, dropped & self.names)
        self.names |= new
        self.names -= dropped

    def news(self) -> tuple[frozenset[str], frozenset[str]]:
        """Give the names that were gained and those that were lost since this was last asked."""
        news = frozenset(self._gained), frozenset(self._lost)
        self._gained, self._lost = set(), set()
        return news

    def _note(self, gained: set[str], lost: set[str]) -> None:
        if gained or lost:
            # A name that comes back before anybody has asked has not changed.
            self._gained, self._lost = (
                (self._gained - lost) | (gained - self._lost),
                (self._lost - gained) | (lost - self._gained),
            )
