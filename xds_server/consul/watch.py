"""The Consul source: the list of services and what it has of each, into one Catalog.

    list ----------> Belief --Latest[Catalog]-->
    EntryWatch ------^   config entries
    Services --------^   a long poll for each service that is close; reads of the others
       ^ Census          which of the others to read: answers about all services
       ^ Interest        which services proxies use

Everything is asked within one Budget.
"""

import asyncio
import logging
from typing import Final

from xds_server.consul.asking import Asking
from xds_server.consul.belief import SENTINEL, Belief
from xds_server.consul.budget import Budget, Kind
from xds_server.consul.census import Census
from xds_server.consul.client import ConsulClient
from xds_server.consul.entry_watch import EntryWatch
from xds_server.consul.errors import ConsulError
from xds_server.consul.options import WatchOptions
from xds_server.consul.services import Services, go_on
from xds_server.consul.standing import Report
from xds_server.model.catalog import Catalog
from xds_server.model.standing import Standing
from xds_server.runtime.interest import Interest
from xds_server.runtime.latest import Latest
from xds_server.runtime.supervise import supervise
from xds_server.telemetry import CONSUL_CONNECTIONS, Event, log

__all__ = ["ConsulSource", "WatchOptions"]

_LIST: Final = ("v1", "catalog", "services")
# A new token, or a new leader, is in use within so many seconds.
_LONGEST_DOUBT: Final = 5.0


class ConsulSource:
    """Keeps a `Latest[Catalog]` as Consul has it. `hidden` services are never asked for nor shown.

    `interest` says which services proxies use: these are followed closely where not all can be.
    """

    def __init__(
        self,
        client: ConsulClient,
        options: WatchOptions | None = None,
        hidden: frozenset[str] = frozenset({SENTINEL}),
        interest: Interest | None = None,
    ) -> None:
        self._client = client
        self._options = options or WatchOptions()
        self._hidden = hidden
        self._interest = interest or Interest()

    async def run(
        self, catalog: Latest[Catalog], standings: Latest[tuple[Standing, ...]] | None = None
    ) -> None:
        """Watch for ever, and keep the standing of this source among those of all.

        Raises ConsulError only if what was set up here cannot be used, e.g. a TLS file.
        """
        address = self._client.address
        report = Report(
            cell=standings or Latest(),
            bounds=self._options.bounds,
            address=address.url,
            datacenter=address.datacenter,
        )
        belief = Belief(address.datacenter, self._hidden, self._options, catalog, report)
        async with self._client:
            budget = Budget(connections=self._client.capacity, per_second=self._options.requests_per_second)
            asking = Asking(client=self._client, budget=budget, options=self._options)
            CONSUL_CONNECTIONS.inc(budget.connections)
            try:
                async with asyncio.TaskGroup() as group:
                    run = _Run(asking, belief, self._interest, group)
                    run.start()
            finally:
                CONSUL_CONNECTIONS.dec(budget.connections)
                run.end()


class _Run:
    """One run of the source: all tasks are its group's, and all state is touched by its tasks only."""

    def __init__(self, asking: Asking, belief: Belief, interest: Interest, group: asyncio.TaskGroup) -> None:
        self._asking = asking
        self._belief = belief
        self._interest = interest
        self._group = group
        self._entries: EntryWatch | None = None
        if asking.options.entries:  # it sets connections aside, so it comes before the services
            self._entries = EntryWatch(asking, lambda: belief.report.now, belief.take_entries)
            belief.wait_for(self._entries)
        self._services = Services(asking, belief, group)
        self._census = Census(asking, belief, self._services, group)

    def start(self) -> None:
        self._belief.report.begin()
        if self._entries:
            self._entries.start(self._group)
        self._services.start()
        self._group.create_task(supervise("consul services", self._watch_list))
        self._group.create_task(supervise("consul interest", self._watch_interest))
        self._group.create_task(self._belief.watch_deadline())

    def end(self) -> None:
        self._services.end()

    async def _watch_list(self) -> None:
        poll = self._asking.poll(*_LIST, kind=Kind.LIST)
        while True:
            reads = self._belief.list_reads
            try:
                answer = await poll.ask(reads)
                self._resize()
                try:
                    self._belief.take_list(answer, reads)
                finally:
                    # Of an answer that is not believed as a whole, what it adds is.
                    self._follow()
            except ConsulError as error:
                self._belief.list_failed(error)
                await go_on(poll, error, longest=_LONGEST_DOUBT)
            else:
                if poll.errors:
                    self._asking.budget.recovered()
                self._census.listed(answer)
                poll.used(answer)

    def _resize(self) -> None:
        """Use what the client can carry, which shows with an answer: HTTP/2 carries far more."""
        budget, capacity = self._asking.budget, self._asking.client.capacity
        if capacity != budget.connections:
            CONSUL_CONNECTIONS.inc(capacity - budget.connections)
            budget.resize(capacity)

    def _follow(self) -> None:
        was_wide = self._services.wide
        self._services.follow(self._belief.listed)
        if self._services.wide and not was_wide:
            log(
                Event.CONSUL_WATCHES_SHARED,
                logging.WARNING,
                services=len(self._belief.listed),
                connections=self._asking.budget.connections,
                advice="those that proxies use are followed closely; to follow all, "
                "raise connections here and http_max_conns_per_client there",
            )

    async def _watch_interest(self) -> None:
        async for names in self._interest.values():
            self._services.use(names)
