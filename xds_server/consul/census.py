"""What says of all services at once which have changed.

Three long polls do, and a census of the checks after each change of the list.

No answer here is believed: it only says what to read. So where one cannot be had, all services are read.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from xds_server.consul.asking import Asking
from xds_server.consul.belief import Belief
from xds_server.consul.budget import Kind
from xds_server.consul.errors import ConsulError, Unreadable
from xds_server.consul.pace import backoff
from xds_server.consul.query import Answer, Query
from xds_server.consul.services import Services
from xds_server.consul.wide import Digests, changed, digest_checks, digest_nodes, digest_tags
from xds_server.runtime.supervise import supervise
from xds_server.telemetry import Event, log

_POLLS: Final[tuple[tuple[tuple[str, ...], Callable[[bytes], Digests]], ...]] = (
    # Every change of a status leaves or enters one of these two; they are as long as things are bad.
    (("v1", "health", "state", "critical"), digest_checks),
    (("v1", "health", "state", "warning"), digest_checks),
    # An address or the Meta of a node: the instances on it take them over.
    (("v1", "catalog", "nodes"), digest_nodes),
)
# A server that lags behind would not have what the list has shown, so the leader is asked.
_ALL_CHECKS: Final = Query(segments=("v1", "health", "state", "any"))
_SHARE: Final = 10.0
_LONGEST_REST: Final = 20.0
_FAILED_AFTER: Final = 2


class Census:
    """Tells `services` what to read, while there are services without a long poll of their own."""

    def __init__(self, asking: Asking, belief: Belief, services: Services, group: asyncio.TaskGroup) -> None:
        self._asking = asking
        self._belief = belief
        self._services = services
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._tags: Digests | None = None
        self._index = 0
        self._unexplained = 0
        self._wanted = asyncio.Event()

    def listed(self, answer: Answer) -> None:
        """Take an answer of the list of services, which comes after each registration of any kind.

        New and other tags name the service; for the rest the checks are counted.
        """
        if not self._services.wide:
            self._stop()
            return
        if self._tasks and answer.index == self._index:
            return  # nothing has come, only the end of the wait
        self._index = answer.index
        try:
            tags = digest_tags(answer.body)
        except Unreadable:
            self._services.sweep()
            return
        named = changed(self._tags, tags).services if self._tags else frozenset()
        self._tags = tags
        self._services.changed(named)
        if not named:
            self._unexplained = answer.index
        self._wanted.set()
        if not self._tasks:
            self._start()

    def _start(self) -> None:
        for segments, read in _POLLS:
            run = partial(self._follow, segments, read)
            name = f"consul {' '.join(segments[1:])}"
            self._tasks.append(self._group.create_task(supervise(name, run)))
        self._tasks.append(self._group.create_task(supervise("consul census", self._count)))

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._tags = None

    async def _follow(self, segments: tuple[str, ...], read: Callable[[bytes], Digests]) -> None:
        poll = self._asking.poll(*segments, kind=Kind.WIDE)
        path = f"/{'/'.join(segments)}"
        last: Digests | None = None
        while True:
            before = self._services.read_wide if last is None else frozenset()
            try:
                answer = await poll.ask()
                digests = read(answer.body)
            except ConsulError as error:
                self._failed(path, poll.errors + 1, error)
                await poll.failed()
            else:
                self._succeeded(path, poll.errors)
                last = self._compare(last, digests, before)
                poll.used(answer)

    async def _count(self) -> None:
        """Count the checks of all services when the list has moved, for a tenth of the time at the most."""
        last: Digests | None = None
        errors = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            unexplained, self._unexplained = self._unexplained, 0
            before = self._services.read_wide if last is None else frozenset()
            try:
                digests, seconds = await self._ask()
            except ConsulError as error:
                errors += 1
                self._failed(_ALL_CHECKS.path, errors, error)
                self._unexplained = max(self._unexplained, unexplained)
                self._wanted.set()
                await self._asking.budget.rest(backoff(errors))
                continue
            self._succeeded(_ALL_CHECKS.path, errors)
            errors = 0
            known = last
            last = self._compare(last, digests, before)
            if known is last and unexplained > self._belief.newest:
                # An instance without checks, or with other weights, another port or address.
                self._services.sweep()
            await asyncio.sleep(min(_LONGEST_REST, _SHARE * seconds))

    async def _ask(self) -> tuple[Digests, float]:
        """Give the digests of all checks, and the seconds that it took to ask and to read."""
        clock = asyncio.get_running_loop().time
        async with self._asking.budget.query(_ALL_CHECKS, Kind.WIDE):
            started = clock()
            answer = await self._asking.client.ask(_ALL_CHECKS)
        return digest_checks(answer.body), clock() - started

    def _compare(self, last: Digests | None, new: Digests, before: frozenset[str]) -> Digests:
        """Have the services read that differ; give the newer digests, or the old ones if they are the same.

        Before a first answer there is nothing to compare with, so all that was read `before` it is doubtful.
        """
        if last is None:
            self._services.changed(before)
            return new
        difference = changed(last, new)
        if not (difference.services or difference.nodes):
            return last
        self._services.changed(difference.services | self._belief.assembly.services_on(difference.nodes))
        return new

    def _failed(self, path: str, errors: int, error: ConsulError) -> None:
        """Read all services while an answer about all of them cannot be had."""
        if errors >= _FAILED_AFTER:
            self._services.sweep()
        # What is Consul's as a whole is the list's to tell.
        if errors == _FAILED_AFTER and not error.temporary:
            log(Event.CONSUL_WIDE_FAILED, logging.WARNING, path=path, error=str(error))

    def _succeeded(self, path: str, errors: int) -> None:
        if errors >= _FAILED_AFTER:
            log(Event.CONSUL_WIDE_RECOVERED, path=path)
