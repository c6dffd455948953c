"""What clients report of the requests they send: added up by client, cluster and locality (P-121).

Envoy and gRPC tell, once an interval, what they did since their report before (Envoy API, load_report.proto).
All of it is a client's claim: numbers are cut to what they can mean, and rows are bounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats

from xds_server.runtime.load_report import Heard, Place, heard_in

_MOST: Final = 2**53 - 1
"""Counts stop here: it is the largest number that every reader of JSON takes for what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimits:
    """How many rows are kept, in all and of one client; how long their texts may be; and for how long.

    `kept` are the seconds for which the rows of a client are shown after its last report.
    """

    rows: int = 100_000
    rows_of_a_client: int = 20_000
    text: int = 512
    kept: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Requests that were sent, answered well, failed, and dropped before they were sent."""

    issued: int = 0
    successful: int = 0
    error: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one client did at one place; times are Unix seconds.

    `total` counts since `since`. `latest` is what the client's last report, at `at`, added to it in `seconds`
    by its own clock (0 if it did not say), and `in_progress` is how many requests were open then.
    """

    client: str
    place: Place
    since: float
    at: float
    total: Counts
    latest: Counts
    seconds: float
    in_progress: int

    @property
    def rate(self) -> float:
        """Requests sent a second, in the last report."""
        return self.latest.issued / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadView:
    """All rows at one moment, by client and place; `left_out` counts what was reported and not kept."""

    rows: tuple[Row, ...] = ()
    left_out: int = 0


@dataclass(slots=True)
class _Cell:
    """What becomes a row."""

    since: float
    at: float
    total: Heard = field(default_factory=Heard)
    latest: Heard = field(default_factory=Heard)

    def hear(self, heard: Heard, at: float) -> None:
        total = self.total
        total.issued += heard.issued
        total.successful += heard.successful
        total.error += heard.error
        total.dropped += heard.dropped
        self.latest, self.at = heard, at

    def row(self, client: str, place: Place) -> Row:
        latest = self.latest
        return Row(
            client=client,
            place=place,
            since=self.since,
            at=self.at,
            total=_counts(self.total),
            latest=_counts(latest),
            seconds=latest.seconds,
            in_progress=min(latest.in_progress, _MOST),
        )


@dataclass(slots=True)
class _Client:
    at: float
    cells: dict[Place, _Cell] = field(default_factory=dict)


class Loads:
    """The figures of all clients."""

    def __init__(self, limits: LoadLimits | None = None) -> None:
        self._limits = limits or LoadLimits()
        self._clients: dict[str, _Client] = {}
        self._rows = 0
        self._left_out = 0

    def reporter(self, client: str) -> "Reporter":
        """Give what takes the reports of one stream; `client` is its node id.

        Streams of the same id are added up.
        """
        return Reporter(self, client)

    def view(self, at: float) -> LoadView:
        """Give all there is at a Unix time."""
        self._let_go(at)
        rows = (
            cell.row(name, place)
            for name, client in self._clients.items()
            for place, cell in client.cells.items()
        )
        ordered = tuple(sorted(rows, key=lambda row: (row.client, row.place)))
        return LoadView(rows=ordered, left_out=self._left_out)

    def hear(self, client: str, place: Place, heard: Heard, at: float) -> bool:
        """Add what a report says of a place; tell whether it is kept."""
        known = self._clients.get(client)
        cell = known.cells.get(place) if known else None
        if cell is None:
            if not self._has_room(client, place, at):
                self._left_out += 1
                return False
            cell = self._clients.setdefault(client, _Client(at)).cells[place] = _Cell(at, at)
            self._rows += 1
        cell.hear(heard, at)
        return True

    def calm(self, client: str, places: set[Place], at: float) -> None:
        """Note that the newest report of a client does not speak of these places: nothing happens there."""
        known = self._clients.get(client)
        if known is not None:
            for place in places & known.cells.keys():
                known.cells[place].hear(Heard(), at)

    def leave_out(self, count: int) -> None:
        """Note that so many rows were reported and could not be taken."""
        self._left_out += count

    def alive(self, client: str, at: float) -> None:
        """Note that a client has reported, even if there was nothing to tell."""
        known = self._clients.get(client)
        if known is not None:
            known.at = at

    def _has_room(self, client: str, place: Place, at: float) -> bool:
        if max(map(len, (client, *place))) > self._limits.text:
            return False
        known = self._clients.get(client)
        if known is not None and len(known.cells) >= self._limits.rows_of_a_client:
            return False
        if self._rows >= self._limits.rows:
            self._let_go(at)
        return self._rows < self._limits.rows

    def _let_go(self, at: float) -> None:
        """Forget the clients that have not reported for long."""
        gone = [name for name, client in self._clients.items() if at - client.at > self._limits.kept]
        for name in gone:
            self._rows -= len(self._clients.pop(name).cells)


class Reporter:
    """Takes the reports of one stream."""

    def __init__(self, loads: Loads, client: str) -> None:
        self._loads = loads
        self._client = client
        self._places: set[Place] = set()
        """What the last report spoke of."""

    def report(self, clusters: Iterable[ClusterStats], at: float) -> None:
        """Add a report up, taken at a Unix time."""
        self._loads.alive(self._client, at)
        heard = heard_in(clusters)
        self._loads.calm(self._client, self._places - heard.keys(), at)
        self._places = {
            place for place, one in heard.items() if self._loads.hear(self._client, place, one, at)
        }

    def end(self, at: float) -> None:
        """Note that the stream has ended: nothing is in progress any more; totals stay for a while."""
        self._loads.calm(self._client, self._places, at)
        self._places = set()


def _counts(heard: Heard) -> Counts:
    return Counts(
        issued=min(heard.issued, _MOST),
        successful=min(heard.successful, _MOST),
        error=min(heard.error, _MOST),
        dropped=min(heard.dropped, _MOST),
    )
