"""Ends the streams of clients that do not take what is written to them (T-LM-03)."""

import asyncio
import time
from typing import Protocol

import grpc

from xds_server.transport.ending import End


class Writing(Protocol):
    """What writes, one response at a time."""

    def break_off(self, end: End) -> None:
        """End it, in the middle of the write."""


class Patience:
    """Watches the writes of all streams with one timer.

    A timer of its own for each write would cost more than all else that is done for it here: nearly every
    write ends at once. The writes are in the order in which they began, so the first is the oldest.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[Writing, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, writing: Writing) -> None:
        """Note that a write begins; the one before it, if there was one, has ended."""
        self._since.pop(writing, None)
        self._since[writing] = time.monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def done(self, writing: Writing) -> None:
        """Note that it has ended, however it did; doing it twice is harmless."""
        self._since.pop(writing, None)

    def _look(self) -> None:
        self._timer = None
        late = time.monotonic() - self._seconds
        for writing in [one for one, since in self._since.items() if since <= late]:
            del self._since[writing]
            writing.break_off(self._end())
        if self._since:
            wait = next(iter(self._since.values())) - late
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)

    def _end(self) -> End:
        sentence = f"the client took no response for {self._seconds:g} s"
        return End(status=grpc.StatusCode.RESOURCE_EXHAUSTED, sentence=sentence)
