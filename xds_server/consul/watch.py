"""The Consul source: one watch of the list of services and one of each service, into one Catalog.

What is believed: a list that shows Consul's own service `consul`; a removal only from an answer that a
leader vouches for and no ACL filtered; an emptied service only when the list drops it. Nothing is
published before the first catalog is whole.
"""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

from xds_server.consul.assembly import Assembly
from xds_server.consul.client import ConsulClient
from xds_server.consul.decode import choose_names, decode_service, decode_services
from xds_server.consul.errors import (
    FILTERED,
    NO_INSTANCE,
    NO_LEADER,
    NO_SENTINEL,
    ConsulError,
    Doubted,
    Unreachable,
    Unreadable,
)
from xds_server.consul.pace import Slots, TokenBucket
from xds_server.consul.poll import Poll
from xds_server.consul.query import Answer, Query
from xds_server.model.catalog import Catalog
from xds_server.runtime.latest import Latest
from xds_server.runtime.supervise import supervise
from xds_server.telemetry import CONSUL_CONNECTED, Event, log

# The service that every Consul server registers: a token that cannot see it cannot see the catalog.
SENTINEL: Final = "consul"

_LIST: Final = ("v1", "catalog", "services")
_HEALTH: Final = ("v1", "health", "service")
_LIST_EVENTS: Final = (
    (Doubted, Event.CONSUL_CATALOG_DOUBTED),
    (Unreachable, Event.CONSUL_UNREACHABLE),
)
_FAILED_AFTER: Final = 2  # errors in a row: one may be an election


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How Consul is watched; seconds.

    `wait` is how long Consul may hold a query. `sync_deadline` is how long the first catalog waits for a
    service while no other is read. `burst` and `per_second` bound the queries of each watch.
    """

    wait: float = 300.0
    sync_deadline: float = 10.0
    burst: int = 5
    per_second: float = 2.0


class ConsulSource:
    """Keeps a `Latest[Catalog]` as Consul has it. `hidden` services are never asked for nor shown."""

    def __init__(
        self,
        client: ConsulClient,
        options: WatchOptions | None = None,
        hidden: frozenset[str] = frozenset({SENTINEL}),
    ) -> None:
        self._client = client
        self._options = options or WatchOptions()
        self._hidden = hidden

    async def run(self, catalog: Latest[Catalog]) -> None:
        """Watch for ever; raises ConsulError only if what was set up here cannot be used, e.g. a TLS file."""
        async with self._client, asyncio.TaskGroup() as group:
            _Run(self._client, self._options, self._hidden, catalog, group).start()


class _Run:
    """One run of the source: all tasks are its group's, and all state is touched by its tasks only."""

    def __init__(
        self,
        client: ConsulClient,
        options: WatchOptions,
        hidden: frozenset[str],
        latest: Latest[Catalog],
        group: asyncio.TaskGroup,
    ) -> None:
        self._client = client
        self._options = options
        self._hidden = hidden
        self._latest = latest
        self._group = group
        self._slots = Slots(max(1, client.connections - 1))  # one is the list's
        self._assembly = Assembly(client.address.datacenter)
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._synced = False
        self._progress = asyncio.Event()
        self._list_state: Event | None = None
        self._failing: set[str] = set()

    def start(self) -> None:
        self._group.create_task(supervise("consul services", self._watch_list))
        self._group.create_task(self._watch_deadline())

    # --- the list of services

    async def _watch_list(self) -> None:
        poll = self._poll(_LIST, Slots(1))
        while True:
            try:
                answer = await poll.ask()
                self._take_list(answer)
            except ConsulError as error:
                self._list_failed(error)
                await poll.failed()
            else:
                poll.used(answer)
                self._list_succeeded()

    def _take_list(self, answer: Answer) -> None:
        listed = decode_services(answer.body)
        if SENTINEL not in listed:
            raise Doubted(NO_SENTINEL)
        names, problems = choose_names(listed, self._hidden)
        if (self._assembly.listed or frozenset()) - names:
            _believe_removal(answer)
        self._assembly.believe_list(names, problems)
        self._adjust_watches(names)
        self._publish()

    def _adjust_watches(self, names: frozenset[str]) -> None:
        had_room = len(self._watches) <= self._slots.count
        for name in self._watches.keys() - names:
            self._watches.pop(name).cancel()
            self._failing.discard(name)
        for name in sorted(names - self._watches.keys()):
            self._watches[name] = self._group.create_task(
                supervise(f"consul service {name}", partial(self._watch_service, name))
            )
        self._slots.expect(len(self._watches))
        if had_room and len(self._watches) > self._slots.count:
            log(
                Event.CONSUL_WATCHES_SHARED,
                logging.WARNING,
                services=len(self._watches),
                connections=self._client.connections,
                advice="changes are seen later: raise connections here and http_max_conns_per_client there",
            )

    def _list_failed(self, error: ConsulError) -> None:
        CONSUL_CONNECTED.set(0)
        event = next(
            (event for kind, event in _LIST_EVENTS if isinstance(error, kind)), Event.CONSUL_QUERY_FAILED
        )
        self._list_is(event, error)

    def _list_succeeded(self) -> None:
        CONSUL_CONNECTED.set(1)
        self._list_is(Event.CONSUL_CONNECTED, None)

    def _list_is(self, event: Event, error: ConsulError | None) -> None:
        """Log a change of state, not each try."""
        if self._list_state == event:
            return
        self._list_state = event
        address = self._client.address.url
        if error is None:
            log(event, address=address)
        else:
            log(event, logging.WARNING, address=address, error=str(error))

    # --- one service

    async def _watch_service(self, name: str) -> None:
        poll = self._poll((*_HEALTH, name), self._slots)
        while True:
            try:
                answer = await poll.ask()
                self._take_service(name, answer)
            except ConsulError as error:
                self._service_failed(name, error, poll.errors + 1)
                await poll.failed()
            else:
                poll.used(answer)
                if name in self._failing:
                    self._failing.discard(name)
                    log(Event.CONSUL_QUERY_RECOVERED, service=name)

    def _take_service(self, name: str, answer: Answer) -> None:
        decoded = decode_service(name, answer.body, self._assembly.datacenter)
        if decoded.rows == 0:
            raise Doubted(NO_INSTANCE)
        if decoded.unreadable and not decoded.service.instances:
            raise Unreadable(decoded.problems[0].sentence)
        if self._assembly.instances(name) - {(one.node, one.id) for one in decoded.service.instances}:
            _believe_removal(answer)
        self._progress.set()
        self._assembly.believe_service(decoded)
        self._publish()

    def _service_failed(self, name: str, error: ConsulError, errors: int) -> None:
        """Show an error that lasts, once.

        What is Consul's as a whole is the list's to tell; it makes no problem of a service that has a last
        good state, and the first sync waits for it until its deadline.
        """
        if errors < _FAILED_AFTER or (
            error.temporary and (self._assembly.was_read(name) or not self._synced)
        ):
            return
        if name not in self._failing:
            self._failing.add(name)
            log(Event.CONSUL_QUERY_FAILED, logging.WARNING, service=name, error=str(error))
        self._assembly.give_up(name, str(error))
        self._publish()

    # --- what comes of it

    async def _watch_deadline(self) -> None:
        """Open the gate without the services that do not answer, once nothing has moved for a while."""
        while not self._synced:
            try:
                async with asyncio.timeout(self._options.sync_deadline):
                    await self._progress.wait()
                self._progress.clear()
            except TimeoutError:
                if self._assembly.usable:
                    self._open_gate()

    def _open_gate(self) -> None:
        missing = sorted(self._assembly.unsettled)
        log(Event.CONSUL_SYNC_DEADLINE, logging.WARNING, services=len(missing), first=missing[0])
        why = f"Consul has not answered for it within {self._options.sync_deadline:g} s; it is asked on."
        for name in missing:
            self._assembly.give_up(name, why)
        self._publish()

    def _publish(self) -> None:
        if not self._synced and not self._assembly.complete:
            return
        catalog = self._assembly.catalog()
        if not self._synced:
            self._synced = True
            self._progress.set()
            log(Event.CATALOG_SYNCED, services=len(catalog.services), problems=len(catalog.problems))
        self._latest.publish(catalog)

    def _poll(self, segments: tuple[str, ...], slots: Slots) -> Poll:
        bucket = TokenBucket(burst=self._options.burst, per_second=self._options.per_second)
        return Poll(
            self._client, Query(segments=segments), wait=self._options.wait, bucket=bucket, slots=slots
        )


def _believe_removal(answer: Answer) -> None:
    """Raise Doubted if an answer that takes something away is no evidence for it."""
    if answer.filtered_by_acls:
        raise Doubted(FILTERED)
    if not answer.known_leader:
        raise Doubted(NO_LEADER)
