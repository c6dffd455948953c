"""How often, how many at a time, and with which index Consul is asked."""

import asyncio
import heapq
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_FIRST_DELAY: Final = 0.1
_LAST_DELAY: Final = 30.0
_ROTATION: Final = 10.0
_SHORTEST_TURN: Final = 1.0


def next_index(asked: int, answered: int) -> int:
    """Give the index to ask with after an answer of 200.

    Consul, "Blocking Queries", implementation details: reset to 0 when the index goes backwards, and never
    use one below 1, which would make a loop that does not block.
    """
    if answered < 1:
        return 1
    return 0 if answered < asked else answered


def backoff(errors: int) -> float:
    """Give the seconds to wait after so many errors in a row: 0.1 s, doubled up to 30 s, with jitter."""
    longest = min(_LAST_DELAY, _FIRST_DELAY * 2.0 ** min(errors, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, no secret


class TokenBucket:
    """Lets `burst` queries through at once, then `per_second`; a lone change never waits."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = float(burst)
        self._at = 0.0

    def take(self, now: float) -> float:
        """Take a token at the time `now`; give the seconds to wait until it is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second) - 1
        self._at = now
        return max(0.0, -self._tokens / self._per_second)


class Slots:
    """Shares the connections among the watches; a first read goes before a long poll.

    With more watches than connections the polls take turns, so each is short enough that every watch is
    asked within ten seconds, as far as a turn of a second allows.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._watches = 0
        self._free = count
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._asked = 0
        self._held: set[asyncio.Timeout] = set()

    @property
    def turn(self) -> float:
        """The seconds a poll may hold its connection; without end if there is one for every watch."""
        if self._watches <= self.count:
            return math.inf
        return max(_SHORTEST_TURN, _ROTATION * self.count / self._watches)

    def expect(self, watches: int) -> None:
        """Say how many watches there are; polls that are held for longer than a turn now end sooner."""
        self._watches = watches
        if self.turn == math.inf:
            return
        now = asyncio.get_running_loop().time()
        for held in self._held:
            at = now + random.uniform(0, self.turn)  # noqa: S311 - jitter, no secret
            if held.when() is None and not held.expired():
                held.reschedule(at)

    @asynccontextmanager
    async def hold(self, *, first: bool) -> AsyncIterator[None]:
        """Hold a connection for the time of the block; those with `first` wait less.

        Raises TimeoutError out of a block that was begun without a turn's end and has to end sooner.
        """
        await self._acquire(first)
        try:
            async with asyncio.timeout(None) as held:
                if self.turn == math.inf:
                    self._held.add(held)
                try:
                    yield
                finally:
                    self._held.discard(held)
        finally:
            self._release()

    async def _acquire(self, first: bool) -> None:
        if self._free > 0:
            self._free -= 1
            return
        self._asked += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (not first, self._asked, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # it was handed over in the moment of the cancellation
            raise

    def _release(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
