"""Who may open a stream: so many at once, and so many new ones a second."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LONGEST_WAIT: Final = 5.0
"""Seconds that a new stream may wait for its turn: clients give up on a resource after 15 s (P-107)."""


class CrowdedError(Exception):
    """A stream cannot be opened now; the text is a sentence for the client."""


class Admission:
    """Counts the open streams, and paces new ones.

    At most `streams` are open at once (P-112), so that a server that is full says so and a load balancer can
    move the client. New ones are let in at `rate` a second after a burst of as many (P-115), so that a herd
    of reconnecting clients leaves time for the streams that are open; nothing else is paced.
    """

    def __init__(self, *, streams: int, rate: float) -> None:
        self._streams = streams
        self._rate = rate
        self._open = 0
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._tokens = rate
        self._counted_at = time.monotonic()

    @property
    def open(self) -> int:
        """How many streams hold a slot."""
        return self._open

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot for as long as the context is open. Raises CrowdedError where none is free."""
        if self._open >= self._streams:
            raise CrowdedError(
                f"too many xDS streams: this server serves {self._streams}; try another server, or raise "
                f"xds.max_streams"
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def turn(self) -> None:
        """Wait until a new stream may go on; who is cancelled while it waits takes no turn of others.

        Raises CrowdedError where more wait than can be let in within 5 seconds.
        """
        if self._waiting >= self._rate * _LONGEST_WAIT:
            raise CrowdedError("too many xDS streams are being opened at once; try again in a few seconds")
        self._waiting += 1
        try:
            # The lock is fair: turns are taken in the order in which streams came.
            async with self._turn:
                missing = 1 - self._refilled()
                if missing > 0:
                    await asyncio.sleep(missing / self._rate)
                    self._refilled()
                self._tokens -= 1
        finally:
            self._waiting -= 1

    def _refilled(self) -> float:
        now = time.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
        return self._tokens
