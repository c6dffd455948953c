"""The watch of config entries: one long poll for each kind, and a read of each chain that they may change.

Consul wakes a long poll of a kind for a change of that kind; a kind without entries wakes for every one.
A change has those chains read again that it may concern, each once however many changes there were; and
all are read in turn, as newer versions have kinds that are part of chains and not asked for.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from xds_server.consul import budget
from xds_server.consul.asking import Asking
from xds_server.consul.chains import decode_chain
from xds_server.consul.due import Why
from xds_server.consul.due_reads import DueReads
from xds_server.consul.entries import CHAINED, Kind, KindAnswer, decode_entries
from xds_server.consul.entry_book import EntryBook
from xds_server.consul.errors import ConsulError, Refused
from xds_server.consul.evidence import Claim, Evidence, Objection, Question
from xds_server.consul.poll import Poll
from xds_server.consul.query import Answer, Reads
from xds_server.consul.rows import Failure, attempt
from xds_server.model.entries import ConfigEntries
from xds_server.runtime.supervise import supervise
from xds_server.telemetry import Event, log

_CONFIG: Final = ("v1", "config")
_CHAIN: Final = ("v1", "discovery-chain")
_SENTINEL: Final = ("v1", "catalog", "service", "consul")
_FAILED_AFTER: Final = 2  # errors in a row: one may be an election
_READERS: Final = 4
# With fewer connections for a long poll of each kind than this share of all, the kinds take turns.
_SHARE: Final = 8
_ROTATION: Final = 10.0
# What Consul says, with a status of 400 or 500, to a kind that it does not know.
_UNKNOWN_KIND: Final = "invalid config entry kind"
_TOO_OLD: Final = "This Consul does not know the kind: update it to use such entries."
_UNKNOWN_KIND_PAUSE: Final = 600.0
# The protocol of a chain comes from the last two.
_OF_CHAINS: Final = CHAINED | {Kind.SERVICE_DEFAULTS, Kind.PROXY_DEFAULTS}

_rows: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class EntryWatch:
    """Keeps `value` as Consul has it, and calls `on_change` whenever it, or `unsettled`, may have changed.

    `now` gives the time in Unix seconds, of a clock that does not jump. One for each source; all tasks are
    those of the group it is started in.
    """

    def __init__(self, asking: Asking, now: Callable[[], float], on_change: Callable[[], None]) -> None:
        polls = max(1, min(len(Kind), asking.budget.connections // _SHARE))
        asking.budget.reserve(polls)
        self._turns = asyncio.Semaphore(polls)
        if polls < len(Kind):
            wait = min(asking.options.wait, _ROTATION * polls / len(Kind))
            asking = replace(asking, options=replace(asking.options, wait=wait))
        self._asking = asking
        self._now = now
        self._on_change = on_change
        self._book = EntryBook()
        self._reads = DueReads(self._read)
        self._due = self._reads.due
        self._more = asyncio.Event()  # than before are to be read in turn
        self._errors: dict[str, int] = {}
        self._failing: set[str] = set()
        self._settled = False

    @property
    def value(self) -> ConfigEntries:
        """What is known now; the same object while nothing changed."""
        return self._book.value()

    @property
    def unsettled(self) -> tuple[str, ...]:
        """What was neither read nor given up; once empty, always empty, as later chains join when read."""
        self._settled = self._settled or not self._book.unsettled
        return () if self._settled else self._book.unsettled

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin; it ends with the group."""
        for kind in Kind:
            group.create_task(supervise(f"consul config {kind}", partial(self._watch, kind)))
        for number in range(_READERS):
            group.create_task(supervise("consul chains", self._reads.run, about=str(number)))
        group.create_task(supervise("consul chains in turn", self._sweep))

    def give_up(self, why: str) -> None:
        """Go on without what is unsettled, with `why`, a sentence; it is asked on."""
        for kind in Kind:
            if not self._book.was_read(kind):
                self._book.give_up(kind, why)
        for name in self._book.unread_chains:
            self._book.give_up_chain(name, why)
        self._on_change()

    # --- kinds

    async def _watch(self, kind: Kind) -> None:
        poll = self._asking.poll(*_CONFIG, kind, kind=budget.Kind.ENTRY)
        evidence = Evidence(Question.ENTRIES, self._asking.options.bounds)
        while True:
            try:
                async with self._turns:
                    answer = await poll.ask(reads := evidence.next_reads)
                await self._take(kind, answer, evidence, reads)
            except ConsulError as error:
                if not isinstance(error, Objection):
                    evidence.failed()
                await self._kind_failed(kind, error, poll)
            else:
                poll.used(answer)
                self._recovered(kind)

    async def _take(self, kind: Kind, answer: Answer, evidence: Evidence, reads: Reads | None) -> None:
        known = self._book.entries(kind)
        decoded = decode_entries(kind, answer.body, known)
        gone = known.keys() - decoded.entries.keys()
        shows = True
        if gone:
            # Consul before 1.11 does not say that it filtered. Only an answer after this one can be trusted.
            shows = await self._sees_the_catalog()
            answer = await self._asking.read(
                *_CONFIG, kind, kind=budget.Kind.ENTRY, reads=reads or Reads.DEFAULT
            )
            decoded = decode_entries(kind, answer.body, known)
            gone = known.keys() - decoded.entries.keys()
        try:
            evidence.weigh(
                answer, Claim(gone=len(gone), of=len(known), shows=shows), reads=reads, at=self._now()
            )
        except Objection as objection:
            if objection.adds:
                kept = decoded.entries | {name: known[name] for name in gone}
                self._believe(KindAnswer(kind=kind, entries=kept, problems=decoded.problems), whole=False)
            raise
        self._believe(decoded, whole=True)

    async def _sees_the_catalog(self) -> bool:
        """Tell whether the token still sees the service that every Consul server registers."""
        answer = await self._asking.read(*_SENTINEL, kind=budget.Kind.ENTRY, reads=Reads.DEFAULT)
        rows = attempt(_rows, answer.body)
        return not isinstance(rows, Failure) and bool(rows)

    def _believe(self, answer: KindAnswer, *, whole: bool) -> None:
        changed = self._book.believe(answer, whole=whole)
        chained = self._book.chained
        for name in self._due.names - chained:
            self._due.forget(name)
            self._errors.pop(name, None)
        for name in chained - self._due.names:
            self._due.follow(name, asyncio.get_running_loop().time())
            self._more.set()
        for name in sorted(self._concerned(answer.kind, changed)):
            self._reads.put(name, Why.CHANGED)
        self._on_change()

    def _concerned(self, kind: Kind, changed: frozenset[str]) -> frozenset[str]:
        """Give the services whose chain is to be read, as entries of that kind changed."""
        if not changed or kind not in _OF_CHAINS:
            return frozenset()
        return self._book.chained if kind is Kind.PROXY_DEFAULTS else self._book.concerned(changed)

    async def _kind_failed(self, kind: Kind, error: ConsulError, poll: Poll) -> None:
        if isinstance(error, Objection) and error.ask_leader:
            poll.again()
            return
        unknown = isinstance(error, Refused) and _UNKNOWN_KIND in str(error)
        lasts = poll.errors + 1 >= _FAILED_AFTER and not (
            error.temporary and (self._book.was_read(kind) or not self._settled)
        )
        if unknown or lasts:
            why = _TOO_OLD if unknown else str(error)
            self._failed(str(kind), why)
            self._book.give_up(kind, why)
            self._on_change()
        await poll.failed()
        if unknown:
            await asyncio.sleep(_UNKNOWN_KIND_PAUSE)

    # --- chains

    async def _read(self, name: str, why: Why) -> None:
        kind = budget.Kind.SWEEP if why is Why.SWEPT else budget.Kind.ENTRY
        try:
            # The leader has what any server has told of an entry.
            answer = await self._asking.read(*_CHAIN, name, kind=kind, reads=Reads.DEFAULT)
            self._book.believe_chain(name, decode_chain(name, answer.body))
        except ConsulError as error:
            self._errors[name] = errors = self._errors.get(name, 0) + 1
            if errors >= _FAILED_AFTER and not (error.temporary and not self._settled):
                self._failed(f"discovery chain {name}", str(error))
                self._book.give_up_chain(name, str(error))
            self._reads.put_later(name, errors)
        else:
            self._errors.pop(name, None)
            self._recovered(f"discovery chain {name}")
        self._on_change()

    async def _sweep(self) -> None:
        """Read all chains in turn, each once in `sweep` seconds."""
        while True:
            self._more.clear()
            try:
                async with asyncio.timeout(self._asking.options.sweep / max(1, len(self._due))):
                    await self._more.wait()
            except TimeoutError:
                if (longest := self._due.longest) is not None:
                    self._reads.put(longest[0], Why.SWEPT)

    # --- what is told of it

    def _failed(self, what: str, why: str) -> None:
        if what not in self._failing:
            self._failing.add(what)
            log(Event.CONSUL_ENTRIES_FAILED, logging.WARNING, entries=what, error=why)

    def _recovered(self, what: str) -> None:
        if what in self._failing:
            self._failing.discard(what)
            log(Event.CONSUL_ENTRIES_RECOVERED, entries=what)
