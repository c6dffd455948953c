"""Which services proxies use, over all streams, for a source that cannot follow everything closely."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from itertools import chain

from xds_server.translate.names import services_of


class Interest:
    """Counts services: how many streams subscribe to a cluster that can lead to each.

    What a change costs goes by the names that changed, not by those there are.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._names: frozenset[str] | None = frozenset()
        self._changed = asyncio.Event()

    @property
    def names(self) -> frozenset[str]:
        """The services in use; the same object while they stay the same."""
        if self._names is None:
            self._names = frozenset(self._counts)
        return self._names

    def change(self, gained: Iterable[str], lost: Iterable[str]) -> None:
        """Take note of the clusters one stream subscribes to now, and of those it does not any more."""
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
