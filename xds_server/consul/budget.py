"""What the queries of one source may cost in all.

How many are open, how many begin in a second, and how many while Consul does not answer.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from xds_server.consul.breaker import Breaker
from xds_server.consul.errors import ConsulError, Cut
from xds_server.consul.pace import CUT_SECONDS, Slots, TokenBucket
from xds_server.telemetry import CONSUL_BREAKER, CONSUL_BUDGET_WAITS, CONSUL_QUERIES, Event, log

PER_SECOND: Final = 100.0

_STEADY: Final = 10.0


class Kind(StrEnum):
    """What a query is for, in the order in which those who wait for a connection get one."""

    LIST = "list"  # the services there are
    WIDE = "wide"  # what changed, of all services
    ENTRY = "entry"  # config entries and what follows from them
    SERVICE = "service"  # the instances of one service
    SWEEP = "sweep"  # the same, though nothing says that they changed


_RANK: Final = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave for one query. A `probe` finds out whether Consul answers again, so it must not be held."""

    probe: bool


class Budget:
    """Stands before every query of a source.

    `connections` bounds the queries that are open at once. `per_second` bounds how many begin: in any second
    not more than twice as many. `name` is the source's, for the log.
    """

    def __init__(self, *, connections: int, per_second: float = PER_SECOND, name: str = "consul") -> None:
        self.connections = connections
        self.per_second = per_second
        self.reserved = 0
        self._name = name
        self._slots = Slots(connections)
        self._bucket = TokenBucket(burst=per_second, per_second=per_second)
        self._breaker = Breaker()
        self._probing = asyncio.Lock()
        self._recovered = asyncio.Event()
        self._recovered_at = -math.inf
        self._closed = asyncio.Event()

    def reserve(self, polls: int) -> None:
        """Set connections aside for so many long polls more, before the source begins.

        They are taken from the services: what is held by polls is never available to others.
        """
        self.reserved += polls

    async def rest(self, seconds: float) -> None:
        """Sleep, but no longer than until `recovered` is called."""
        await _sleep(seconds, self._recovered)

    def recovered(self) -> None:
        """Say that Consul is well again after it was not: those who rest try at once, within the budget.

        Where it is so again and again they keep to their back-off, which is short then.
        """
        if _now() - self._recovered_at < _STEADY:
            return
        self._recovered_at = _now()
        recovered, self._recovered = self._recovered, asyncio.Event()
        recovered.set()

    def resize(self, connections: int) -> None:
        """Have so many queries open at once from now on."""
        self.connections = connections
        self._slots.resize(connections)

    @asynccontextmanager
    async def query(self, question: Hashable, kind: Kind) -> AsyncIterator[Permit]:
        """Wait for leave to ask a question; inside the block it is asked, and ConsulError passes through."""
        async with self._slots.hold(_RANK[kind]):
            permit = await self._leave()
            try:
                with self._judged(question, kind, permit):
                    yield permit
            finally:
                if permit.probe:
                    self._probing.release()

    async def _leave(self) -> Permit:
        """Wait for a token; while the breaker is open, for a probe's turn and the pause between probes."""
        while True:
            if not self._breaker.is_open():
                await self._token()
                # It may have opened while this one was waiting.
                if not self._breaker.is_open():
                    return Permit(probe=False)
            await self._probing.acquire()
            try:
                await _sleep(self._breaker.wait(_now()), self._closed)
            except asyncio.CancelledError:
                self._probing.release()
                raise
            if self._breaker.is_open():
                return Permit(probe=True)
            self._probing.release()

    async def _token(self) -> None:
        if (delay := self._bucket.take(_now())) > 0:
            CONSUL_BUDGET_WAITS.inc()
            await asyncio.sleep(delay)

    @contextmanager
    def _judged(self, question: Hashable, kind: Kind, permit: Permit) -> Iterator[None]:
        started = _now()
        try:
            yield
        except ConsulError as error:
            CONSUL_QUERIES.labels(kind=kind, result=type(error).__name__.lower()).inc()
            if not error.temporary:
                self._succeeded(question)  # Consul answers, though not what was asked for
            elif not (isinstance(error, Cut) and _now() - started >= CUT_SECONDS):
                self._failed(question, error, permit)
            raise
        CONSUL_QUERIES.labels(kind=kind, result="ok").inc()
        self._succeeded(question)

    def _failed(self, question: Hashable, error: ConsulError, permit: Permit) -> None:
        if self._breaker.failed(question, _now(), probe=permit.probe):
            CONSUL_BREAKER.inc()
            log(Event.CONSUL_BREAKER_OPENED, logging.WARNING, source=self._name, error=str(error))

    def _succeeded(self, question: Hashable) -> None:
        if self._breaker.succeeded(question):
            # Every watch comes back now.
            self._bucket.drain(_now())
            closed, self._closed = self._closed, asyncio.Event()
            closed.set()
            CONSUL_BREAKER.dec()
            log(Event.CONSUL_BREAKER_CLOSED, source=self._name)


async def _sleep(seconds: float, end: asyncio.Event) -> None:
    """Sleep so long, or until an event happens."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await end.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
