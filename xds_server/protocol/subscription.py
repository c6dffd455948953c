"""What a client wants of one resource type on one stream.

The two variants say it differently: SotW repeats the whole list each time, delta says what is added and what
is dropped. Both know the wildcard `*`, and the legacy wildcard: a first request that names nothing (xDS
protocol, "How the client specifies what resources to return").
"""

from collections.abc import Iterable
from typing import Final

from xds_server.protocol.names import NO_NAMES, NOTHING, Names, shared

WILDCARD: Final = "*"


class Subscription:
    """The set of names a client subscribes to, and whether it subscribes to everything.

    `names` is an object that all streams share that subscribe to the same; another request, another object.
    """

    __slots__ = ("_asked", "_first", "_legacy_wildcard", "grown", "names", "wildcard")

    def __init__(self, *, legacy_wildcard: bool) -> None:
        self._legacy_wildcard = legacy_wildcard
        self._first = True
        self.wildcard = False
        self.names = NO_NAMES
        self.grown = False
        """Whether names were added that nobody has looked at yet."""
        self._asked: Names | None = None
        """All that the last SotW request named."""

    def wants(self, name: str) -> bool:
        """Tell whether a resource of that name is subscribed to."""
        return self.wildcard or name in self.names

    def replace(self, requested: Iterable[str]) -> frozenset[str]:
        """Take a SotW request's `resource_names`; give what is wanted now and was not before.

        A new wildcard shows as `*` among the additions.
        """
        # An ACK repeats all names: they are the very object where `Requests` has read them, and a set anyway.
        if requested is self._asked or (asked := frozenset(requested)) == self._asked:
            self.grown = False
            return NOTHING
        self._asked = requested if isinstance(requested, Names) else shared(asked)
        # P-045: some clients send [""] for "nothing".
        asked = asked - {""} if "" in asked else self._asked
        # P-048: once a name was sent, an empty list no longer means everything.
        legacy = not asked and self._legacy_wildcard
        self._legacy_wildcard &= not asked
        wildcard = WILDCARD in asked or legacy
        before = self.names
        self.names = (
            shared(asked - {WILDCARD}) if WILDCARD in asked or asked is not self._asked else self._asked
        )
        added, _ = self.names.since(before)
        if wildcard and not self.wildcard:
            added |= {WILDCARD}
        self.grown = bool(added)
        self.wildcard = wildcard
        return added

    def change(self, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> None:
        """Take a delta request's additions and removals; of a name in both, the removal wins (P-052)."""
        added, dropped = frozenset(subscribe), frozenset(unsubscribe)
        # P-047: only the very first request of the type, and only if it names nothing either way.
        if self._first and self._legacy_wildcard and not added and not dropped:
            self.wildcard = True
        self._first = False
        # P-050: naming resources does not end the legacy wildcard; unsubscribing from `*` does.
        if WILDCARD in added:
            self.wildcard = True
        if WILDCARD in dropped:
            self.wildcard = False
        new = added - self.names if self.names else added
        if WILDCARD in new or "" in new:
            new -= {WILDCARD, ""}
        self.grown = bool(new)
        gained, lost = (new - dropped, dropped & self.names) if dropped else (new, dropped)
        if gained or lost:
            self.names = self.names.changed(gained, lost)
