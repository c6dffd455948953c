"""How far what is served can be trusted now: the words of `/readyz`, and `/state`."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry

from xds_server import telemetry
from xds_server.model.catalog import Catalog
from xds_server.model.hold import Hold
from xds_server.model.kept_file import KeptFile
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest

_SHOWN: Final = 100
"""How many holds are listed; all are counted."""

_NOT_READY: Final = "not ready: the catalog was not read yet"
_NO_WORKER: Final = "not ready: no worker process listens"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """One worker process: its number, its process id (None while it is gone), and its open streams."""

    worker: int
    pid: int | None
    streams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The cells of the catalog and of the standing of each source it comes from, and what is held.

    `catalog` is what the sources say, `believed` what the guards let through of it.
    """

    catalog: Latest[Catalog] = field(default_factory=Latest)
    believed: Latest[Catalog] = field(default_factory=Latest)
    standings: Latest[tuple[Standing, ...]] = field(default_factory=Latest)
    last_good: Latest[KeptFile] = field(default_factory=Latest)
    """What is kept on disk; nothing without a `state_dir`."""
    holders: list[Callable[[], tuple[Hold, ...]]] = field(default_factory=list)
    """Who tells what is held back."""
    workers: Latest[tuple[WorkerState, ...]] = field(default_factory=Latest)
    """The processes that serve the streams; nothing where this one does."""
    registry: Latest[CollectorRegistry] = field(default_factory=Latest)
    """What `/metrics` shows in place of this process's own metrics, if there is more."""

    @property
    def reachable(self) -> bool:
        """Whether anybody listens on the xDS port."""
        return not self.workers.value or any(one.pid is not None for one in self.workers.value)

    def readiness(self, *, ready: bool, verbose: bool, operator: tuple[Standing, ...] = ()) -> str:
        """Give the text of `/readyz`, one line, and with `verbose` one more for each source."""
        standings = self._all(operator)
        first = "ready" if ready else (_NOT_READY if self.reachable else _NO_WORKER)
        if verbose:
            held = (f"{one.id}: {one.sentence}" for one in self.holds[:_SHOWN])
            return "".join(f"{line}\n" for line in (first, *(_named(one) for one in standings), *held))
        said = _named if len(standings) > 1 else _said
        doubtful = "; ".join(said(one) for one in standings if one.state is not State.LIVE)
        return f"{first} ({doubtful})\n" if doubtful else f"{first}\n"

    def view(self, *, ready: bool, operator: tuple[Standing, ...] = ()) -> dict[str, Any]:
        """Give what `/state` shows."""
        return {
            "ready": ready,
            "services": self._services(),
            "sources": [asdict(one) for one in self._all(operator)],
            **({"last_good": asdict(self.last_good.value)} if self.last_good.value else {}),
            **({"workers": [asdict(one) for one in self.workers.value]} if self.workers.value else {}),
            "held": len(self.holds),
            "holds": [{"id": one.id, **asdict(one)} for one in self.holds[:_SHOWN]],
        }

    def _services(self) -> int:
        """Count the services that are served, without those that have left."""
        believed = self.believed.value
        return sum(not one.departed for one in believed.services.values()) if believed else 0

    def measure(self, operator: tuple[Standing, ...] = ()) -> None:
        """Tell the metrics."""
        telemetry.SOURCE_STATE.clear()
        telemetry.SOURCE_SINCE.clear()
        for one in self._all(operator):
            for state in State:
                telemetry.SOURCE_STATE.labels(one.source, state.value).set(state is one.state)
            telemetry.SOURCE_SINCE.labels(one.source).set(one.since)
        telemetry.HOLDS.clear()
        for guard, count in Counter(one.guard for one in self.holds).items():
            telemetry.HOLDS.labels(guard).set(count)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Everything that is held back now."""
        return tuple(sorted(hold for tell in self.holders for hold in tell()))

    def _all(self, operator: tuple[Standing, ...]) -> tuple[Standing, ...]:
        """Give the standings of the sources, and that of an operator who decides in their stead."""
        return (*(self.standings.value or ()), *operator)


def _named(standing: Standing) -> str:
    return f"{standing.source} {_said(standing)}"


def _said(standing: Standing) -> str:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(standing.since))
    reason = f": {standing.reason}" if standing.reason else ""
    return f"{standing.state} since {since}{reason}"
