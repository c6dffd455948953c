"""What the parent and a worker tell each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from xds_server.model.catalog import Catalog
from xds_server.model.hold import Hold
from xds_server.model.policy import Policy
from xds_server.model.problem import Problem
from xds_server.model.secret import Secrets
from xds_server.model.withheld import Withheld
from xds_server.runtime import load_report
from xds_server.runtime.debounce import Pace
from xds_server.runtime.load_report import Place
from xds_server.runtime.vetting import Preflight
from xds_server.settings import LogSettings
from xds_server.transport import XdsServerOptions

# --- from the parent -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """The first thing a worker is told: what it is, and what it takes over from an earlier one."""

    options: XdsServerOptions
    pace: Pace
    preflight: Preflight
    envoy: str
    log: LogSettings
    withheld: tuple[Withheld, ...] = ()
    worker: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Some values of a table of the catalog that comes next; None takes a name out."""

    table: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CatalogIs:
    """The catalog that is believed: the one before, with the parts sent, and with what `rest` says.

    Tables are empty in `rest`. Without `problems` these are as before.
    """

    rest: Catalog
    problems: tuple[Problem, ...] | None


@dataclass(frozen=True, slots=True)
class PolicyIs:
    """The policy."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class SecretsAre:
    """The secrets."""

    secrets: Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What an operator decided on is served: the catalog believed, with the parts sent, and this policy."""

    number: int
    at: float
    catalog: CatalogIs
    policy: Policy


@dataclass(frozen=True, slots=True)
class Unpin:
    """No operator decides what is served."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was sent is to be served now, all of it at once."""


@dataclass(frozen=True, slots=True)
class Accept:
    """An operator releases a hold, or with None every one."""

    hold: str | None


@dataclass(frozen=True, slots=True)
class Drain:
    """Send the clients away, and end."""


# --- from a worker ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listening:
    """The worker's port is open."""

    port: int


@dataclass(frozen=True, slots=True)
class CannotListen:
    """It cannot be opened: it is taken, or else `error` says why."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client has reported of its load (`runtime/load.py`), at a Unix time.

    Without `what` nothing happened at the place, and without a `place` the client had nothing to tell.
    """

    client: str
    at: float
    place: Place | None = None
    what: load_report.Heard | None = None


Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...], float]
"""A number of a metric family: its own name, its labels, its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became different in a worker since its report before; None for what did not.

    `services` are those that its clients use, `streams` how many are open. `samples` are those that changed,
    by metric family. `loads` is what was heard since, but for the `left_out`.
    """

    problems: tuple[Problem, ...] | None = None
    holds: tuple[Hold, ...] | None = None
    withheld: tuple[Withheld, ...] | None = None
    services: frozenset[str] | None = None
    streams: int = 0
    samples: tuple[tuple[str, tuple[Sample, ...]], ...] = ()
    loads: tuple[Heard, ...] = ()
    left_out: int = 0
