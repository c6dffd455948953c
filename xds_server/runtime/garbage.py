"""Keeps Python's garbage collector from stopping everything to look at what is not garbage.

A full collection looks at every object there is: with 5,000 services, millions, which takes some hundred
milliseconds in which nothing else runs. Catalogs, policies and snapshots have no cycles and go when the last
reference does, without a collector. So what has survived a collection that took long is not looked at again
(`gc.freeze`, Python's documentation of `gc`); what is made later is. Whatever else is there at that moment,
and becomes a cycle of garbage later, stays for ever; so it is done ever more seldom.

Young collections are made rarer too. A push to 1,000 streams makes some 20 objects for each, all gone when
their clients have answered: with Python's 700 the collector would look at them a dozen times on the way.

The objects are never counted: `gc.get_objects` would hold tuples that another thread is still making, which
breaks them.
"""

import asyncio
import gc
import time
from typing import Final

from xds_server import telemetry

_LONG: Final = 0.02
"""Seconds of processor time a collection may take."""

YOUNG: Final = 50_000
"""Objects made and not gone after which the young are looked at; Python's own number is 700 (or 2,000)."""

_PAUSE: Final = 10.0
"""Seconds from the first freeze to the next at least; after each it is twice as long."""


class Collections:
    """Measures the collections of this process for as long as it runs."""

    def __init__(self) -> None:
        self._began = 0.0
        self._cpu = 0.0
        self._worst = 0.0
        self._pause = _PAUSE
        self._not_before = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Look on for ever."""
        self._loop = asyncio.get_running_loop()
        before = gc.get_threshold()
        gc.set_threshold(YOUNG, *before[1:])
        gc.callbacks.append(self._note)
        try:
            await asyncio.Event().wait()
        finally:
            gc.callbacks.remove(self._note)
            gc.set_threshold(*before)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        """Take note of a collection; it may be in any thread, from its start to its end in the same one."""
        if phase == "start":
            self._began, self._cpu = time.monotonic(), time.thread_time()
            return
        took = time.monotonic() - self._began
        if took > self._worst:
            self._worst = took
            telemetry.COLLECTION_WORST.set(took)
        # A collection that had to wait for the processor says nothing of how much there is.
        if time.thread_time() - self._cpu > _LONG and self._loop is not None and not self._loop.is_closed():
            # Just now everything that is there is in use.
            self._loop.call_soon_threadsafe(self._freeze)

    def _freeze(self) -> None:
        now = time.monotonic()
        if now >= self._not_before:
            gc.freeze()
            self._not_before = now + self._pause
            self._pause *= 2
