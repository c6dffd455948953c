"""How far what is served can be trusted now: the words of `/readyz`, and `/state`."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from xds_server import telemetry
from xds_server.model.catalog import Catalog
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest

_NOT_READY: Final = "not ready: the catalog was not read yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The cells of the catalog and of the standing of each source it comes from."""

    catalog: Latest[Catalog] = field(default_factory=Latest)
    standings: Latest[tuple[Standing, ...]] = field(default_factory=Latest)

    def readiness(self, *, ready: bool, verbose: bool) -> str:
        """Give the text of `/readyz`, one line, and with `verbose` one more for each source."""
        standings = self.standings.value or ()
        first = "ready" if ready else _NOT_READY
        if verbose:
            return "".join(f"{line}\n" for line in (first, *(_named(one) for one in standings)))
        said = _named if len(standings) > 1 else _said
        doubtful = "; ".join(said(one) for one in standings if one.state is not State.LIVE)
        return f"{first} ({doubtful})\n" if doubtful else f"{first}\n"

    def view(self, *, ready: bool) -> dict[str, Any]:
        """Give what `/state` shows."""
        return {
            "ready": ready,
            "services": len(self.catalog.value.services) if self.catalog.value else 0,
            "sources": [asdict(one) for one in self.standings.value or ()],
        }

    def measure(self) -> None:
        """Tell the metrics."""
        telemetry.SOURCE_STATE.clear()
        telemetry.SOURCE_SINCE.clear()
        for one in self.standings.value or ():
            for state in State:
                telemetry.SOURCE_STATE.labels(one.source, state.value).set(state is one.state)
            telemetry.SOURCE_SINCE.labels(one.source).set(one.since)


def _named(standing: Standing) -> str:
    return f"{standing.source} {_said(standing)}"


def _said(standing: Standing) -> str:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(standing.since))
    reason = f": {standing.reason}" if standing.reason else ""
    return f"{standing.state} since {since}{reason}"
