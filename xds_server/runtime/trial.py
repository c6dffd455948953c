"""Which of several rejected resources are at fault, found by letting a part of them through at a time.

The part is halved until a resource is rejected alone. What an error text names is left out first, and the
rest tried: if the text was right, that is all it takes. Of n resources with k at fault it takes about
k * (log2(n) + 1) responses, and no two of them are alike, as each answer makes the suspects fewer.
"""

from collections.abc import Collection
from typing import Final

MOST_TRIES: Final = 40
"""Responses that one rejection may lead to on a stream; what is not found by then stays withheld."""

HOPELESS: Final = 16
"""Rejections without an ACK between them after which a client is taken to reject everything."""


class Trial:
    """The rejected resources of one type on one stream, by name.

    `testing` is what is let through now: everything else that is not cleared is withheld. Once it is empty,
    the trial is over.
    """

    def __init__(self) -> None:
        self.testing: frozenset[str] = frozenset()
        self._bad: list[str] = []
        """At least one of these is at fault."""
        self._rest: list[str] = []
        """Nothing is known of these."""
        self._accused: list[str] = []
        """What a text named; it counts as at fault as long as that explains everything."""
        self._tries = 0
        self._rejections = 0

    @property
    def unsettled(self) -> frozenset[str]:
        """What is still looked at, but for what a text named."""
        return frozenset((*self._bad, *self._rest))

    def reject(self, suspects: Collection[str], named: Collection[str]) -> None:
        """Take that a response with these was rejected, some of them named by the error text."""
        self._tries += 1
        self._rejections += 1
        known = {*self._bad, *self._rest}
        others = sorted(known - set(suspects))
        if named:
            self._accused += sorted(named)
            self._bad, self._rest = [], sorted({*others, *suspects} - set(named))
        else:
            # Its text was of no help before either: what it named may be innocent. What is alone is not.
            self._bad = sorted(suspects) if len(suspects) > 1 else []
            self._rest = sorted({*others, *self._accused})
            self._accused = []
        self._go_on()

    def clear(self, names: Collection[str]) -> None:
        """Take that these were accepted, or are not there any more."""
        self._rejections = 0
        self._bad = [name for name in self._bad if name not in names]
        self._rest = [name for name in self._rest if name not in names]
        if self.testing:
            self.testing -= set(names)
            if not self.testing:
                self._go_on()

    def _go_on(self) -> None:
        """Choose what to let through next."""
        if self._tries >= MOST_TRIES or self._rejections >= HOPELESS:
            self._bad, self._rest, self.testing = [], [], frozenset()
        elif self._bad:
            self.testing = frozenset(self._bad[: (len(self._bad) + 1) // 2])
        else:
            self.testing = frozenset(self._rest)
