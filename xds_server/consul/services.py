"""The watches of single services: a long poll for each that is close, reads of the others as they are due."""

import asyncio
import contextlib
import random
from collections.abc import Iterable
from functools import partial
from typing import Final

from xds_server.consul.asking import Asking
from xds_server.consul.belief import Belief
from xds_server.consul.budget import Kind
from xds_server.consul.due import Why
from xds_server.consul.due_reads import DueReads
from xds_server.consul.errors import ConsulError
from xds_server.consul.evidence import Objection
from xds_server.consul.follow import MOST_READS, Following
from xds_server.consul.poll import Poll
from xds_server.consul.query import Reads
from xds_server.runtime.supervise import supervise
from xds_server.telemetry import CONSUL_SERVICES

_HEALTH: Final = ("v1", "health", "service")
# A sweep may take half of the budget.
_SWEEP_SHARE: Final = 2.0
_IDLE_SHARE: Final = 10.0


class Services:
    """Follows each listed service in one of the two ways. All tasks are those of `group`."""

    def __init__(self, asking: Asking, belief: Belief, group: asyncio.TaskGroup) -> None:
        self._asking = asking
        self._belief = belief
        self._group = group
        self._following = Following(self._room)
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._reads = DueReads(self._read)
        self._due = self._reads.due
        self._errors: dict[str, int] = {}
        self._sweep_since = 0.0
        self._swept = asyncio.Event()
        self._counted = (0, 0)

    @property
    def wide(self) -> bool:
        """Whether some services have no long poll of their own."""
        return self._following.wide

    @property
    def _room(self) -> int:
        """How many queries about services may be open, so that idle polls take a tenth of the budget."""
        budget = self._asking.budget
        renewed = self._asking.options.wait * budget.per_second / _IDLE_SHARE
        return min(budget.connections - budget.reserved, int(renewed))

    @property
    def read_wide(self) -> frozenset[str]:
        """The services that are followed wide and were read."""
        return frozenset(name for name in self._due.names if self._belief.assembly.was_read(name))

    def start(self) -> None:
        """Start those who read what falls due."""
        for number in range(MOST_READS):
            self._group.create_task(supervise("consul reads", self._reads.run, about=str(number)))
        self._group.create_task(supervise("consul sweep", self._sweep))

    def follow(self, names: frozenset[str]) -> None:
        """Follow the services of a list, and no others."""
        self._following.resize(self._room)
        ended = self._following.follow(names)
        for name in ended:
            self._watches.pop(name).cancel()
        for name in self._due.names - names:
            self._due.forget(name)
            self._errors.pop(name, None)
        self._fill()
        now = _now()
        for name in sorted(names - self._watches.keys() - self._due.names):
            self._due.follow(name, now)
            self._reads.put(name, Why.AGAIN if self._belief.assembly.was_read(name) else Why.FIRST)
            self._swept.set()
        self._count()

    def use(self, names: frozenset[str]) -> None:
        """Prefer the services that proxies use."""
        self._following.use(names)
        self._fill()

    def changed(self, names: Iterable[str]) -> None:
        """Read the services that may have changed; what has a long poll is told by that."""
        changed = [name for name in names if name in self._due]
        for name in changed:
            self._following.change(name)
        self._fill()
        for name in changed:
            self._reads.put(name, Why.CHANGED)

    def sweep(self) -> None:
        """Read every service that has no long poll once, at half of the budget: something has changed."""
        self._sweep_since = _now()
        self._swept.set()

    # --- close

    def _fill(self) -> None:
        """Give the connections that are free to the services that deserve them."""
        for name in self._following.start():
            self._due.forget(name)
            self._watches[name] = self._group.create_task(
                supervise("consul service", partial(self._watch, name), about=name)
            )
        self._count()

    async def _watch(self, name: str) -> None:
        poll = self._asking.poll(*_HEALTH, name, kind=Kind.SERVICE)
        while True:
            reads = self._belief.service_reads(name)
            try:
                answer = await poll.ask(reads)
                before = self._belief.assembly.service(name)
                self._belief.take_service(name, answer, reads)
            except ConsulError as error:
                self._belief.service_failed(name, error, poll.errors + 1)
                await go_on(poll, error)
            else:
                poll.used(answer)
                if self._belief.assembly.service(name) is not before:
                    self._following.change(name)
            if not self._following.stays(name):
                await self._let_go(name)

    async def _let_go(self, name: str) -> None:
        """End the watch whose task this is; another service gets its connection."""
        self._due.follow(name, _now())
        self._watches.pop(name).cancel()
        self._fill()
        await asyncio.sleep(0)

    # --- the others

    async def _read(self, name: str, why: Why) -> None:
        reads = self._belief.service_reads(name)
        kind = Kind.SWEEP if why is Why.SWEPT else Kind.SERVICE
        # Another server than that of the wide answer may not have the change yet; the leader has.
        usual = Reads.STALE if why is not Why.CHANGED and self._asking.options.stale else Reads.DEFAULT
        try:
            answer = await self._asking.read(*_HEALTH, name, kind=kind, reads=reads or usual)
            self._belief.take_service(name, answer, reads)
        except ConsulError as error:
            errors = self._errors.get(name, 0) + 1
            self._belief.service_failed(name, error, errors)
            if isinstance(error, Objection) and error.ask_leader:
                self._reads.put(name, Why.CHANGED)
            else:
                self._errors[name] = errors
                self._reads.put_later(name, errors)
        else:
            self._errors.pop(name, None)

    # --- in turn

    async def _sweep(self) -> None:
        """Read the services in turn: all once in `sweep` seconds, and sooner what a sweep is due for."""
        last = _now()
        while True:
            self._swept.clear()
            longest = self._due.longest
            pause = self._asking.options.sweep / max(1, len(self._due))
            if longest is not None and longest[1] < self._sweep_since:
                pause = min(pause, _SWEEP_SHARE / self._asking.budget.per_second)
            pause *= random.uniform(0.9, 1.1)  # noqa: S311 - jitter, no secret
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(last + pause):
                    await self._swept.wait()
                continue  # there are more to read, or all of them sooner
            last = _now()
            if longest is not None:
                self._reads.put(longest[0], Why.SWEPT)

    def end(self) -> None:
        """Count no service any more."""
        self._watches.clear()
        for name in self._due.names:
            self._due.forget(name)
        self._count()

    def _count(self) -> None:
        close, wide = len(self._watches), len(self._due)
        CONSUL_SERVICES.labels(followed="close").inc(close - self._counted[0])
        CONSUL_SERVICES.labels(followed="wide").inc(wide - self._counted[1])
        self._counted = close, wide


async def go_on(poll: Poll, error: ConsulError, longest: float = 30.0) -> None:
    """Begin again: at once if the leader is to be asked, else after the back-off."""
    if isinstance(error, Objection) and error.ask_leader:
        poll.again()
    else:
        await poll.failed(longest)


def _now() -> float:
    return asyncio.get_running_loop().time()
