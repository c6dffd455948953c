"""How often, how many at a time, and with which index Consul is asked."""

import asyncio
import heapq
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

CUT_SECONDS: Final = 1.0
"""A query that is cut sooner than this has failed; later it met somebody's write timeout."""

_FIRST_DELAY: Final = 0.1
_LAST_DELAY: Final = 30.0


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

    def __init__(self, *, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = float(burst)
        self._at = 0.0

    def take(self, now: float) -> float:
        """Take a token at the time `now`; give the seconds to wait until it is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second) - 1
        self._at = now
        return max(0.0, -self._tokens / self._per_second)

    def drain(self, now: float) -> None:
        """Take all tokens that are there at the time `now`: what follows is spread from its start."""
        self._tokens = min(0.0, self._tokens + (now - self._at) * self._per_second)
        self._at = now


class Slots:
    """So many places that are held at a time; of those who wait, the lowest rank goes first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._asked = 0

    def resize(self, count: int) -> None:
        """Have more places, or fewer: then those that are held too many are not given out again."""
        self._count = count
        self._hand_over()

    @asynccontextmanager
    async def hold(self, rank: int) -> AsyncIterator[None]:
        """Hold a place for the time of the block."""
        await self._acquire(rank)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, rank: int) -> None:
        if self._held < self._count:
            self._held += 1
            return
        self._asked += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, self._asked, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # it was handed over in the moment of the cancellation
            raise

    def _release(self) -> None:
        self._held -= 1
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self._held < self._count:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._held += 1
                turn.set_result(None)
