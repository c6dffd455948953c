"""The last good state on disk put together: what is loaded, who goes on with it, and what is kept."""

from collections.abc import Iterable
from functools import partial
from typing import Protocol

from xds_server.admin import Sources
from xds_server.files.last_good import Keeper, KeepOptions, LastGood, Served, SourceId
from xds_server.model.catalog import Catalog
from xds_server.model.withheld import Withheld
from xds_server.runtime.control import Control
from xds_server.runtime.latest import Latest
from xds_server.settings import Settings


class Clients(Protocol):
    """Who knows what clients refused: the pipeline that serves them, or the workers together."""

    def withheld(self) -> tuple[Withheld, ...]:
        """Give it."""

    def restore(self, withheld: Iterable[Withheld]) -> None:
        """Take over what a server before this one knew."""


class LastGoodState:
    """What the settings want kept; without a `state_dir` every part of it does nothing."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        self._keeper: Keeper | None = None
        self._served: Served | None = None
        self._loaded: LastGood | None = None
        if settings.state_dir is not None:
            options = KeepOptions(
                directory=settings.state_dir, source=_source(settings), max_age=settings.state_max_age
            )
            self._keeper = Keeper(options, sources.standings, sources.last_good)

    @property
    def catalog(self) -> Catalog | None:
        """What was loaded: what the guards let out when the source does not answer, and weigh it against."""
        return self._loaded.catalog if self._loaded else None

    async def load(self) -> None:
        """Read the file, before anything is served."""
        if self._keeper is not None:
            self._loaded = await self._keeper.load()

    def resume(self, clients: Clients, control: Control, out: Latest[Catalog]) -> None:
        """Go on where the server before this one was: what clients refused, and what an operator froze.

        `out` is what the guards let through.
        """
        if self._loaded is not None:
            clients.restore(self._loaded.withheld)
            if self._loaded.pinned is not None:
                control.restore(self._loaded.pinned, self._loaded.catalog, self._settings.policy)
        self._served = Served(
            source=self._sources.catalog,
            state=partial(_state, clients, control, out),
            cells=(out, control.pinned),
        )

    async def run(self) -> None:
        """Keep what is served, for ever. Supervised, and of no consequence for what is served."""
        if self._keeper is not None and self._served is not None:
            await self._keeper.run(self._served)

    async def finish(self) -> None:
        """Keep what was served last."""
        if self._keeper is not None and self._served is not None:
            await self._keeper.keep(self._served)

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to run."""
        return self._keeper is not None


def _source(settings: Settings) -> SourceId:
    if settings.catalog_file is not None:
        return SourceId(kind="file", file=str(settings.catalog_file.absolute()))
    consul = settings.consul
    return SourceId(
        kind="consul",
        datacenter=consul.datacenter,
        namespace=consul.namespace,
        partition=consul.partition,
    )


def _state(clients: Clients, control: Control, out: Latest[Catalog]) -> LastGood | None:
    """Give what is served: an operator's choice, or what the guards believe; None while there is nothing."""
    for pinned in control.pinned.value or ():
        return LastGood(catalog=pinned.past.catalog, withheld=clients.withheld(), pinned=pinned.kept)
    if out.value is None:
        return None
    return LastGood(catalog=out.value, withheld=clients.withheld())
