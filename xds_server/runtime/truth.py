"""Does every client have what the sources say? Looks again and again, and names who has not.

The way from a source to a client has three stations: what the source says, what was built of it, and what
each client has acknowledged. Every response tells whether it arrived; nothing tells what is missing for
ever. How long something is missing is counted here, from when it was first seen, by a monotonic clock: the
times in a ledger are a wall clock's, and a clock that is set must not raise an alarm for the whole fleet.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from xds_server import telemetry
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.protocol.ledger import Ledger
from xds_server.runtime.fleet import Fleet, Session
from xds_server.telemetry import Event, log

_NAMED: Final = 100
"""How many clients that lag are named at once, in problems and in the log; the metric counts them all."""

_SHOWN: Final = 128
"""How many characters of a node id are shown."""


class Why(StrEnum):
    """What keeps a client from having what was published."""

    UNANSWERED = "has not answered what it was sent"
    REJECTED = "rejects what it was sent"


Place: TypeAlias = tuple[Session, TypeUrl]
Mark: TypeAlias = tuple[Why, str]
"""What is missing: the oldest nonce without an answer, or a rejected version. Another one is progress."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a client lacks of one type, and since when (monotonic seconds)."""

    mark: Mark
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthOptions:
    """Seconds: between two looks, and for how long something may be missing."""

    every: float = 10.0
    patience: float = 60.0


def missing(sessions: Iterable[Session], before: Mapping[Place, Missing], now: float) -> dict[Place, Missing]:
    """Give what each client lacks at a monotonic time; what it lacked `before` it lacks since then.

    It costs one step for each stream and type, however many resources these have.
    """
    found: dict[Place, Missing] = {}
    for session in sessions:
        for type_url, state in session.machine.types.items():
            mark = _mark(state.ledger)
            if mark is None:
                continue
            place = session, type_url
            old = before.get(place)
            found[place] = old if old is not None and old.mark == mark else Missing(mark, now)
    return found


def _mark(ledger: Ledger) -> Mark | None:
    if ledger.outstanding:
        return Why.UNANSWERED, next(iter(ledger.outstanding))
    if ledger.rejected:
        return Why.REJECTED, next(iter(ledger.rejected.values()))
    return None


class TruthMonitor:
    """Compares the sources, what is published, and what clients have.

    `behind` gives how often was built, if what is published was made of something older than is to be
    served (what the operator or a guard holds back is not), and None otherwise: `Pipeline.behind`.
    """

    def __init__(
        self,
        fleet: Fleet,
        behind: Callable[[], int | None],
        options: TruthOptions | None = None,
    ) -> None:
        self._fleet = fleet
        self._behind = behind
        self._options = options or TruthOptions()
        self._missing: dict[Place, Missing] = {}
        self._told: dict[Place, Missing] = {}
        """Who lags, and was told of."""
        self._build: int | None = None
        self._built = 0.0
        """Since when what is published is of this build, if that is behind."""
        self._late = False

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(self._options.every)

    def look(self, now: float) -> None:
        """Compare everything once, at a monotonic time in seconds."""
        self._look_at_clients(now)
        self._look_at_pipeline(now)

    def problems(self) -> Iterator[Problem]:
        """Tell which clients lag, and whether the snapshot does."""
        if self._late:
            yield Problem(
                code=Code.SNAPSHOT_BEHIND,
                source="pipeline",
                sentence="what is served was made of an older catalog than the source has; look for "
                "snapshot.failed and loop.blocked in the log",
            )
        for (session, type_url), one in tuple(self._told.items())[:_NAMED]:
            node = session.proxy.id[:_SHOWN]
            yield Problem(
                code=Code.CLIENT_LAGGING,
                source=f"client {node!a} {type_url.short}",
                sentence=f"client {node!a} at {session.peer} {one.mark[0]} of type {type_url.short} for more "
                f"than {self._options.patience:g} s; it works on with what it had before",
            )

    def _look_at_clients(self, now: float) -> None:
        found = self._missing = missing(self._fleet.sessions, self._missing, now)
        late = {place: one for place, one in found.items() if now - one.since >= self._options.patience}
        caught_up = [place for place in self._told if place not in late]
        fresh = [place for place in late if place not in self._told]
        oldest = min((one.since for one in found.values()), default=now)
        telemetry.LAGGING_CLIENTS.set(len({session for session, _ in late}))
        telemetry.CLIENT_LAG.set(now - oldest)
        self._told = late
        for session, type_url in caught_up[:_NAMED]:
            log(Event.CLIENT_CAUGHT_UP, node=session.proxy.id, type=type_url.short)
        for place in fresh[:_NAMED]:
            session, type_url = place
            log(
                Event.CLIENT_LAGGING,
                logging.WARNING,
                node=session.proxy.id,
                peer=session.peer,
                type=type_url.short,
                seconds=round(now - late[place].since),
                reason=late[place].mark[0],
            )

    def _look_at_pipeline(self, now: float) -> None:
        build = self._behind()
        if build != self._build:
            # Where things change all the time there is always something newer; another build is progress.
            self._build, self._built = build, now
        late = build is not None and now - self._built >= self._options.patience
        if late and not self._late:
            log(Event.SNAPSHOT_BEHIND, logging.ERROR, seconds=round(now - self._built))
        self._late = late
        telemetry.SNAPSHOT_BEHIND.set(late)
