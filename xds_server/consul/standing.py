"""How far Consul is to be trusted now: what the watch reports becomes a `Standing`, in one cell and the log.

Stale is what passes by itself (nobody answers, there is no leader); frozen is what somebody has to mend
(no rights, contradictions, a loss that is not believed). The last good catalog is served in both.
"""

import logging
import time
from dataclasses import dataclass, field, replace
from typing import Final

from xds_server.consul.errors import ConsulError, Cut, Doubted, Refused, Unreachable, Unreadable
from xds_server.consul.evidence import Objection
from xds_server.consul.query import Answer
from xds_server.consul.signs import Bounds
from xds_server.model.standing import Standing, State, replaced
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event, log

_LASTS: Final = 2  # errors in a row
# One of these may be an election or a bad moment of a proxy; a query that is given up has waited long enough.
_MAY_PASS: Final = (Cut, Refused, Unreadable)
_UNREAD: Final = "Consul has not given the list of services yet: see that an agent runs at its address."
_BEHIND: Final = (
    "Consul answers from a server that has lost its leader, or from an old cache, so changes are not seen: "
    "look at the Consul servers."
)
_EVENTS: Final = (
    (Doubted, Event.CONSUL_CATALOG_DOUBTED),
    (Unreachable, Event.CONSUL_UNREACHABLE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a source: enough to judge it.

    `error` is that of the last query for the list, and None if it was believed; `errors` counts them in a
    row. `behind` is whether the last answer came from a server, or a cache, that is too old.
    `failing` of the `services` cannot be read, `example` says why for one of them.
    """

    error: ConsulError | None = None
    errors: int = 0
    answered: bool = False
    behind: bool = False
    services: int = 0
    failing: int = 0
    example: str = ""


def judge(facts: Facts, before: State) -> tuple[State, str]:
    """Give the state and its reason. A single bad answer changes nothing, as the next may well be good."""
    match facts.error:
        case None if not facts.answered:
            return State.STALE, _UNREAD
        case None if facts.behind:
            return State.STALE, _BEHIND
        case None if 2 * facts.failing > facts.services:
            some = f"{facts.failing} of {facts.services} services cannot be read"
            return State.FROZEN, f"{some}, one of them because: {facts.example}"
        case None:
            return State.LIVE, ""
        case error if facts.errors < _LASTS and before is State.LIVE and isinstance(error, _MAY_PASS):
            return State.LIVE, ""
        case error:
            return State.STALE if error.temporary else State.FROZEN, str(error)


@dataclass(slots=True, kw_only=True)
class Report:
    """Where one source of Consul's tells how it stands.

    `cell` holds the standings of all sources; `address` and `datacenter` name this one.
    """

    cell: Latest[tuple[Standing, ...]]
    bounds: Bounds
    address: str
    datacenter: str = ""
    _facts: Facts = field(default=Facts(), init=False)
    _shown: Standing | None = field(default=None, init=False)
    _event: Event | None = field(default=None, init=False)
    _failing: dict[str, str] = field(default_factory=dict, init=False)
    _offset: float = field(default_factory=lambda: time.time() - time.monotonic(), init=False)

    @property
    def now(self) -> float:
        """The time in Unix seconds, of a clock that does not jump."""
        return self._offset + time.monotonic()

    def begin(self) -> None:
        """Tell that nothing was read yet."""
        self._judge()

    def located(self, datacenter: str) -> None:
        """Take note of which datacenter this is, as soon as an answer tells."""
        if datacenter != self.datacenter:
            self.datacenter = datacenter
            self._judge()

    def listed(self, answer: Answer, services: int) -> None:
        """Take note of a list of so many services that was believed."""
        behind = (
            not answer.known_leader
            or answer.last_contact > 1000 * self.bounds.max_stale
            or answer.age > self.bounds.max_age
        )
        self._facts = replace(
            self._facts, error=None, errors=0, answered=True, behind=behind, services=services
        )
        self._log_once(Event.CONSUL_CONNECTED, None)
        self._judge()

    def list_failed(self, error: ConsulError) -> None:
        """Take note of a list that was not got or not believed."""
        if isinstance(error, Objection) and error.ask_leader:
            return
        self._facts = replace(self._facts, error=error, errors=self._facts.errors + 1)
        event = next((event for kind, event in _EVENTS if isinstance(error, kind)), Event.CONSUL_QUERY_FAILED)
        self._log_once(event, error)
        self._judge()

    def service_failing(self, name: str, why: str) -> bool:
        """Take note of a service that cannot be read, and `why`, a sentence; tell whether that is news."""
        news = name not in self._failing
        self._failing[name] = why
        if news:
            self._count_failing()
        return news

    def service_read(self, name: str) -> bool:
        """Take note of a service that was read, or is gone; tell whether it could not be read before."""
        if self._failing.pop(name, None) is None:
            return False
        self._count_failing()
        return True

    def _count_failing(self) -> None:
        example = next(iter(self._failing.values()), "")
        self._facts = replace(self._facts, failing=len(self._failing), example=example)
        self._judge()

    def _judge(self) -> None:
        before = self._shown
        state, reason = judge(self._facts, before.state if before else State.STALE)
        since = before.since if before and before.state is state else self.now
        source = f"consul {self.datacenter}".rstrip()
        self._shown = Standing(source=source, state=state, reason=reason, since=since)
        self.cell.publish(replaced(self.cell.value or (), before, self._shown))

    def _log_once(self, event: Event, error: ConsulError | None) -> None:
        """Log a change, not each try."""
        if self._event == event:
            return
        self._event = event
        if error is None:
            log(event, address=self.address)
        else:
            log(event, logging.WARNING, address=self.address, error=str(error))
