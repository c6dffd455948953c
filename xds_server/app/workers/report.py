"""What a worker tells the parent, once a second: what became different since."""

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from xds_server.app.workers.channel import Channel
from xds_server.app.workers.figures import Tally
from xds_server.app.workers.messages import Heard, Report
from xds_server.runtime import load_report
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.load import Loads
from xds_server.runtime.load_report import Place
from xds_server.runtime.pipeline import Pipeline

EVERY: Final = 1.0
"""Seconds between two reports. The one with no news says that the worker is alive."""

_MOST_HEARD: Final = 100_000
"""Rows of load that may wait for the next report: as many as the parent keeps in all."""


class LoadsForParent(Loads):
    """Keeps what clients report until it is told to the parent, who adds it up."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: list[Heard] = []
        self._lost = 0

    def hear(self, client: str, place: Place, heard: load_report.Heard, at: float) -> bool:
        """Keep a row; tell whether there is room for it."""
        return self._keep(Heard(client, at, place, heard))

    def calm(self, client: str, places: AbstractSet[Place], at: float) -> None:
        """Keep that nothing happened at these places."""
        for place in places:
            self._keep(Heard(client, at, place))

    def alive(self, client: str, at: float) -> None:
        """Keep that a client has reported."""
        self._keep(Heard(client, at))

    def news(self) -> tuple[tuple[Heard, ...], int]:
        """Give what was kept, and how much was not, since it was asked for before."""
        heard, lost = tuple(self._heard), self._lost
        self._heard, self._lost = [], 0
        return heard, lost

    def _keep(self, heard: Heard) -> bool:
        if len(self._heard) >= _MOST_HEARD:
            self._lost += heard.what is not None
            return False
        self._heard.append(heard)
        return True


class Reporter:
    """Watches the parts of a worker."""

    def __init__(self, channel: Channel, pipeline: Pipeline, fleet: Fleet, loads: LoadsForParent) -> None:
        self._channel = channel
        self._fleet = fleet
        self._loads = loads
        self._tally = Tally()
        self._told: dict[str, Any] = {}
        self._shown: dict[str, Callable[[], Any]] = {
            "problems": lambda: pipeline.problems,
            "holds": lambda: pipeline.holds,
            "withheld": pipeline.withheld,
            "services": lambda: fleet.interest.names,
        }

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await self._channel.send(self.report())
            await asyncio.sleep(EVERY)

    def report(self) -> Report:
        """Give what became different since this was called before."""
        now = {name: show() for name, show in self._shown.items()}
        news = {name: value for name, value in now.items() if value != self._told.get(name)}
        self._told = now
        loads, left_out = self._loads.news()
        return Report(
            **news,
            streams=len(self._fleet.sessions),
            samples=self._tally.news(),
            loads=loads,
            left_out=left_out,
        )
