"""What is believed of Consul's answers, and the catalogs that are published of it.

What an answer proves is for `evidence` to say, and how far the whole is to be trusted for `standing`. Nothing
is published before the first catalog is whole.
"""

import asyncio
import logging
from collections import defaultdict
from functools import partial
from typing import Final

from xds_server.consul.assembly import Assembly
from xds_server.consul.decode import choose_names, decode_service, decode_services
from xds_server.consul.entry_watch import EntryWatch
from xds_server.consul.errors import ConsulError, Unreadable
from xds_server.consul.evidence import Claim, Evidence, Objection, Question
from xds_server.consul.options import WatchOptions
from xds_server.consul.query import Answer, Reads
from xds_server.consul.standing import Report
from xds_server.model.catalog import Catalog
from xds_server.model.problem import Problem
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event, log

# The service that every Consul server registers: a token that cannot see it cannot see the catalog.
SENTINEL: Final = "consul"

_FAILED_AFTER: Final = 2  # errors in a row: one may be an election


class Belief:
    """Takes answers and errors; publishes into `latest` what comes of them, and tells `report`."""

    def __init__(
        self,
        datacenter: str,
        hidden: frozenset[str],
        options: WatchOptions,
        latest: Latest[Catalog],
        report: Report,
    ) -> None:
        self.assembly = Assembly(datacenter)
        self.report = report
        self.newest = 0
        """The highest index of the answers that were believed of services."""
        self._hidden = hidden
        self._options = options
        self._latest = latest
        self._list = Evidence(Question.LIST, options.bounds)
        self._services: defaultdict[str, Evidence] = defaultdict(
            partial(Evidence, Question.SERVICE, options.bounds)
        )
        self._entries: EntryWatch | None = None
        self._synced = False
        self._progress = asyncio.Event()

    # --- the list of services

    @property
    def listed(self) -> frozenset[str]:
        """The services that are believed to be there."""
        return self.assembly.listed or frozenset()

    @property
    def list_reads(self) -> Reads | None:
        """Who has to answer the next query for the list; None: whom the settings name."""
        return self._list.next_reads

    def take_list(self, answer: Answer, reads: Reads | None) -> None:
        """Take an answer that was asked for with `list_reads`.

        Raises ConsulError if it cannot be read, and Objection if it is not believed as a whole; what it adds
        may be listed then all the same.
        """
        listed = decode_services(answer.body)
        known = self.listed
        # What is known was chosen before: of the list, which comes after each registration, the rest is new.
        new, problems = choose_names(listed - known, self._hidden)
        names = (listed & known) | new
        claim = Claim(gone=len(known - names), of=len(known), shows=SENTINEL in listed)
        try:
            self._list.weigh(answer, claim, reads=reads, at=self.report.now)
        except Objection as objection:
            if objection.adds:
                self._believe_list(names | known, problems)
            raise
        self._believe_list(names, problems)
        self.report.listed(answer, len(names))

    def list_failed(self, error: ConsulError) -> None:
        """Take note of an error of the query for the list, or of what `take_list` raised."""
        if not isinstance(error, Objection):
            self._list.failed()
        self.report.list_failed(error)

    def _believe_list(self, names: frozenset[str], problems: tuple[Problem, ...]) -> None:
        for name in self.listed - names:
            self._services.pop(name, None)
            self.report.service_read(name)
        self.assembly.believe_list(names, problems)
        self._publish()

    # --- one service

    def service_reads(self, name: str) -> Reads | None:
        """Who has to answer the next query for a service; None: whom the asker likes."""
        evidence = self._services.get(name)
        return evidence.next_reads if evidence else None

    def take_service(self, name: str, answer: Answer, reads: Reads | None) -> None:
        """Take an answer about one service, asked for with its `service_reads`.

        Raises ConsulError if it cannot be read, and Objection if it is not believed as a whole. What is no
        longer listed by now is left alone.
        """
        if name not in self.listed:
            return
        decoded = decode_service(name, answer.body, self.assembly.datacenter)
        if decoded.unreadable and not decoded.service.instances:
            raise Unreadable(decoded.problems[0].sentence)
        known = self.assembly.instances(name)
        gone = known - {(one.node, one.id) for one in decoded.service.instances}
        claim = Claim(gone=len(gone), of=len(known), shows=decoded.rows > 0)
        try:
            self._services[name].weigh(answer, claim, reads=reads, at=self.report.now)
        except Objection as objection:
            if objection.adds:
                self.assembly.believe_additions(decoded, gone)
                self._publish()
            raise
        self._progress.set()
        self.newest = max(self.newest, answer.index)
        self.assembly.believe_service(decoded)
        self.report.located(self.assembly.datacenter)
        self._publish()
        if self.report.service_read(name):
            log(Event.CONSUL_QUERY_RECOVERED, service=name)

    def service_failed(self, name: str, error: ConsulError, errors: int) -> None:
        """Show an error that lasts, once; `errors` counts those in a row.

        What is Consul's as a whole is the list's to tell; it makes no problem of a service that has a last
        good state, and the first sync waits for it until its deadline.
        """
        if name not in self.listed or (isinstance(error, Objection) and error.ask_leader):
            return
        if not isinstance(error, Objection):
            self._services[name].failed()
        if errors < _FAILED_AFTER or (error.temporary and (self.assembly.was_read(name) or not self._synced)):
            return
        if self.report.service_failing(name, str(error)):
            log(Event.CONSUL_QUERY_FAILED, logging.WARNING, service=name, error=str(error))
        self.assembly.give_up(name, str(error))
        self._publish()

    # --- config entries

    def wait_for(self, entries: EntryWatch) -> None:
        """Let the first catalog wait for config entries."""
        self._entries = entries
        self.assembly.entries_settled = False

    def take_entries(self) -> None:
        """Take what the watch of config entries has now."""
        if self._entries is None:
            return
        self._progress.set()
        self.assembly.believe_entries(self._entries.value)
        self.assembly.entries_settled = not self._entries.unsettled
        self._publish()

    # --- what comes of it

    async def watch_deadline(self) -> None:
        """Open the gate without the services that do not answer, once nothing has moved for a while."""
        while not self._synced:
            try:
                async with asyncio.timeout(self._options.sync_deadline):
                    await self._progress.wait()
                self._progress.clear()
            except TimeoutError:
                if self.assembly.usable:
                    self._open_gate()

    def _open_gate(self) -> None:
        missing = sorted(self.assembly.unsettled)
        entries = self._entries.unsettled if self._entries else ()
        log(Event.CONSUL_SYNC_DEADLINE, logging.WARNING, services=len(missing), first=[*missing, *entries][0])
        why = f"Consul has not answered for it within {self._options.sync_deadline:g} s; it is asked on."
        for name in missing:
            self.assembly.give_up(name, why)
        if self._entries:
            self._entries.give_up(why)
        self._publish()

    def _publish(self) -> None:
        if not self._synced and not self.assembly.complete:
            return
        catalog = self.assembly.catalog()
        if not self._synced:
            self._synced = True
            self._progress.set()
            log(Event.CATALOG_SYNCED, services=len(catalog.services), problems=len(catalog.problems))
        self._latest.publish(catalog)
