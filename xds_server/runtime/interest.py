"""Which services proxies use, over all streams, for a source that cannot follow everything closely."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from itertools import chain
from typing import Final

from xds_server.translate.names import services_of

_NOTHING: Final = frozenset[str]()


class Interest:
    """Counts services: for each the sets of clusters in use that can lead to it.

    Streams mostly want the very same set, which is gone through for the first and for the last of them only.
    """

    def __init__(self) -> None:
        self._streams: Counter[frozenset[str]] = Counter()
        """How many streams want each set of clusters."""
        self._counts: Counter[str] = Counter()
        self._names: frozenset[str] | None = frozenset()
        self._changed = asyncio.Event()

    @property
    def names(self) -> frozenset[str]:
        """The services in use; the same object while they stay the same."""
        if self._names is None:
            self._names = frozenset(self._counts)
        return self._names

    def move(self, before: frozenset[str], after: frozenset[str]) -> None:
        """Take note that a stream wants the clusters `after`, and no longer those `before`."""
        streams, gained, lost = self._streams, _NOTHING, _NOTHING
        streams[after] += 1
        if streams[after] == 1:
            gained = after
        streams[before] -= 1
        if streams[before] == 0:
            del streams[before]
            lost = before
        if gained or lost:
            self.change(gained - lost, lost - gained)

    def change(self, gained: Iterable[str], lost: Iterable[str]) -> None:
        """Take note of clusters that are wanted once more now, and of those that are once less."""
        before = len(self._counts)
        first = gone = False
        for name in chain.from_iterable(map(services_of, gained)):
            self._counts[name] += 1
            first = first or self._counts[name] == 1
        for name in chain.from_iterable(map(services_of, lost)):
            self._counts[name] -= 1
            if self._counts[name] <= 0:
                del self._counts[name]
                gone = True
        if first or gone or len(self._counts) != before:
            self._names = None
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def values(self) -> AsyncIterator[frozenset[str]]:
        """Yield the services in use at once, and then again each time they have changed."""
        while True:
            changed = self._changed
            yield self.names
            await changed.wait()
