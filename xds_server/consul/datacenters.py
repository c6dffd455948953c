"""Several datacenters as one source: ours, and the others that take over where ours has nothing healthy.

Every datacenter is watched by a source of its own, through the same agents, which ask the others over the
WAN (https://developer.hashicorp.com/consul/api-docs/catalog , parameter `dc`). What another datacenter said
last is kept while the way to it is cut, and after a while no longer taken for healthy.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from xds_server.consul.merge import Merger
from xds_server.consul.watch import ConsulSource
from xds_server.model.catalog import Catalog
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest
from xds_server.runtime.supervise import supervise
from xds_server.telemetry import Event, log


@dataclass(frozen=True, slots=True, kw_only=True)
class Remotes:
    """The sources of the other datacenters by name, the nearest first.

    The instances of one that cannot be reached for `keep` seconds are no longer taken for healthy. At the
    start the others have `first_wait` seconds to be read, before a catalog without them is published.
    """

    sources: Mapping[str, ConsulSource]
    keep: float = 120.0
    first_wait: float = 10.0


class Datacenters:
    """Keeps a `Latest[Catalog]` of our own datacenter and others."""

    def __init__(self, own: ConsulSource, remotes: Remotes) -> None:
        self._own = own
        self._remotes = remotes

    async def run(
        self, catalog: Latest[Catalog], standings: Latest[tuple[Standing, ...]] | None = None
    ) -> None:
        """Watch for ever. Raises ConsulError only if what was set up here cannot be used."""
        cells = {name: Latest[Catalog]() for name in self._remotes.sources}
        run = _Run(self._remotes, cells, standings or Latest(), catalog)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._own.run(run.own, run.standings))
            for name, source in self._remotes.sources.items():
                watch = partial(source.run, cells[name], run.standings)
                group.create_task(supervise("consul datacenter", watch, about=name))
            group.create_task(run.follow())


class _Run:
    def __init__(
        self,
        remotes: Remotes,
        cells: Mapping[str, Latest[Catalog]],
        standings: Latest[tuple[Standing, ...]],
        catalog: Latest[Catalog],
    ) -> None:
        self.own = Latest[Catalog]()
        self.standings = standings
        self._keep = remotes.keep
        self._first_wait = remotes.first_wait
        self._cells = cells
        self._catalog = catalog
        self._merger = Merger()
        self._changed = asyncio.Event()
        self._away: dict[str, float] = {}
        self._lost: frozenset[str] = frozenset()

    async def follow(self) -> None:
        """Publish what all sources have, once ours has a catalog and the others had a chance."""
        cells: tuple[Latest[Any], ...] = (self.own, self.standings, *self._cells.values())
        async with asyncio.TaskGroup() as group:
            for cell in cells:
                group.create_task(self._listen(cell.values()))
            await self.own.get()
            await self._give_the_others_a_chance()
            while True:
                self._changed.clear()
                wait = self._look_for_the_lost()
                self._publish()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    continue  # a datacenter has been away for too long now

    async def _listen(self, values: AsyncIterator[Any]) -> None:
        async for _ in values:
            self._changed.set()

    async def _give_the_others_a_chance(self) -> None:
        try:
            async with asyncio.timeout(self._first_wait):
                for cell in self._cells.values():
                    await cell.get()
        except TimeoutError:
            missing = [name for name, cell in self._cells.items() if cell.value is None]
            log(Event.CONSUL_DATACENTERS_MISSING, logging.WARNING, datacenters=", ".join(missing))

    def _look_for_the_lost(self) -> float | None:
        """Take note of who has been away for too long; give the seconds until the next may be, if any."""
        now = asyncio.get_running_loop().time()
        since = {name: self._away.setdefault(name, now) for name in self._cells if self._is_away(name)}
        self._away = since
        left = {name: at + self._keep - now for name, at in since.items()}
        lost = frozenset(name for name, seconds in left.items() if seconds <= 0)
        for name in lost - self._lost:
            log(Event.CONSUL_DATACENTER_LOST, logging.WARNING, datacenter=name, after=self._keep)
        for name in self._lost - lost:
            log(Event.CONSUL_DATACENTER_BACK, datacenter=name)
        self._lost = lost
        return min((seconds for seconds in left.values() if seconds > 0), default=None)

    def _is_away(self, name: str) -> bool:
        source = f"consul {name}"
        return any(
            standing.source == source and standing.state is State.STALE
            for standing in self.standings.value or ()
        )

    def _publish(self) -> None:
        if self.own.value is not None:
            others = [cell.value for cell in self._cells.values() if cell.value is not None]
            self._catalog.publish(self._merger.merged(self.own.value, others, self._lost))
