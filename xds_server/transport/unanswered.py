"""Clients that neither accept nor reject what they are sent come back in the end (P-123).

Changes of a type wait for the answer to the last of them, so such a client is sent nothing more of that type
but what it asks for; that it lags is told elsewhere (`client.lagging`). A new stream begins with what the
client has, and waits for nothing. An Envoy answers clusters once they are warm, and nothing while it is
paused, so that the bounds are wide.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import grpc

from xds_server.model.types import TypeUrl
from xds_server.protocol.machine import Machine
from xds_server.transport.ending import End
from xds_server.transport.variant import RequestStream

_PARTS: Final = 16
"""Parts of a round, each looked at by itself: 20,000 streams at once would hold up all others for 50 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """Seconds for which a response may be unanswered, and how many responses of one type may be.

    Each is remembered until it is answered, so their number is what a client costs that only asks.
    """

    seconds: float = 600.0
    responses: int = 5_000

    @property
    def interval(self) -> float:
        """How often to look, in seconds."""
        return min(15.0, self.seconds / 4)


class Unanswered:
    """Watches one stream; times are seconds of a monotonic clock, so a clock that jumps ends nothing."""

    __slots__ = ("_limits", "_machine", "_oldest")

    def __init__(self, machine: Machine, limits: AnswerLimits) -> None:
        self._machine = machine
        self._limits = limits
        self._oldest: dict[TypeUrl, tuple[str, float]] = {}
        """Of each type of which something waits the nonce that waits longest, and when it was first seen."""

    def look(self, now: float) -> End | None:
        """Note what waits; give the end of a stream on which something waits for too long."""
        for type_url, state in self._machine.types.items():
            outstanding = state.ledger.outstanding
            if not outstanding:
                self._oldest.pop(type_url, None)
                continue
            if len(outstanding) > self._limits.responses:
                return _end(f"{self._limits.responses} responses of type {type_url.short}")
            if self._waited(type_url, next(iter(outstanding)), now) >= self._limits.seconds:
                return _end(f"a response of type {type_url.short} for {self._limits.seconds:g} s")
        return None

    def _waited(self, type_url: TypeUrl, nonce: str, now: float) -> float:
        """Give for how long the response of a type that is the oldest has waited."""
        known, since = self._oldest.get(type_url, ("", now))
        if known != nonce:
            since = now
        self._oldest[type_url] = (nonce, since)
        return now - since


def _end(what: str) -> End:
    sentence = f"the client did not answer {what}; let it connect again"
    return End(status=grpc.StatusCode.DEADLINE_EXCEEDED, sentence=sentence)


class Answers:
    """Looks at the streams of a server now and then, some at a time, with one timer for all of them."""

    def __init__(self, limits: AnswerLimits) -> None:
        self._limits = limits
        self._watches: dict[int, tuple[RequestStream, Unanswered]] = {}
        self._left: list[int] = []
        """Whom to look at before the round begins again; one that has ended is not held by it."""
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def awaited(self, machine: Machine, stream: RequestStream) -> Iterator[None]:
        """Look at a stream for as long as the context is open; end it where it has to end."""
        self._watches[id(stream)] = stream, Unanswered(machine, self._limits)
        if self._timer is None:
            self._look_later()
        try:
            yield
        finally:
            del self._watches[id(stream)]

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limits.interval / _PARTS, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._watches:
            return
        self._look_later()
        self._left = self._left or list(self._watches)
        now = asyncio.get_running_loop().time()
        for _ in range(min(len(self._left), 1 + len(self._watches) // _PARTS)):
            found = self._watches.get(self._left.pop())
            if found is not None and (end := found[1].look(now)) is not None:
                found[0].end(end)
