"""Keeps what is served on disk, and gives it back at the next start.

Nothing of this can keep the server from serving: each failure is an event, and is tried again later.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from xds_server.files.last_good.body import Encoder, LastGood
from xds_server.files.last_good.envelope import Envelope, RefusedError, pack
from xds_server.files.last_good.loading import Loaded, load
from xds_server.files.last_good.source import SourceId
from xds_server.files.last_good.store import Store
from xds_server.files.last_good.told import Told
from xds_server.model.catalog import Catalog
from xds_server.model.kept_file import KeptFile
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest

_LOAD_WITHIN: Final = 60.0
_TWO_SERVERS: Final = "another xds-server keeps its catalog there; give each its own state_dir"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOptions:
    """Where the file is, whose catalog it may hold, and how old it may be; times in seconds.

    After a write that took t it is `pause` until the next one, or `share` times t if that is longer, so that
    a large catalog that changes all the time costs a bounded part of one processor. Where nothing changes the
    file is written again after `refresh`, as it is only good for `max_age`. Every `again` it is looked for
    what no cell tells of, and tried again what failed.
    """

    directory: Path
    source: SourceId
    max_age: float = 7 * 86400.0
    pause: float = 2.0
    share: float = 20.0
    refresh: float = 3600.0
    again: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is to be kept: `state` gives it, None before there is anything, and `cells` change with it.

    `source` is what the source of the catalog fills: while it is empty, what is served is from disk.
    """

    source: Latest[Catalog]
    state: Callable[[], LastGood | None]
    cells: tuple[Latest[Any], ...]


class Keeper:
    """One for a server. `standings` are those of the sources, and get one more while the disk is served.

    `file` is what `/state` says of the file.
    """

    def __init__(
        self, options: KeepOptions, standings: Latest[tuple[Standing, ...]], file: Latest[KeptFile]
    ) -> None:
        self._options = options
        self._store = Store(options.directory)
        self._told = Told(self._store.path, standings, file)
        self._encoder = Encoder()
        self._restored: Loaded | None = None
        self._written: LastGood | None = None

    async def load(self) -> LastGood | None:
        """Give what was kept; None, and an event with the reason, where there is nothing that may be used."""
        try:
            async with asyncio.timeout(_LOAD_WITHIN):
                loaded = await asyncio.to_thread(self._load)
        except RefusedError as error:
            self._told.refused(str(error), await asyncio.to_thread(self._store.set_aside))
        except TimeoutError:
            # Whoever waits for such a disk once more may wait for ever.
            self._told.refused(f"could not be read within {_LOAD_WITHIN:.0f} s", None)
        except Exception as error:  # noqa: BLE001 - not even a bug of ours may keep the server from starting
            self._told.refused(f"could not be read, please report it: {error!r}", None)
        else:
            if loaded is None:
                return None
            state, self._restored, self._written = loaded.state, loaded, loaded.state
            self._told.loaded(loaded.at, len(state.catalog.services), pinned=state.pinned is not None)
            return state
        return None

    async def run(self, served: Served) -> None:
        """Keep what is served whenever it changes; never returns."""
        changed = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for cell in (served.source, *served.cells):
                tasks.create_task(self._listen(cell, served, changed))
            while True:
                took = await self.keep(served)
                if took:
                    await asyncio.sleep(max(self._options.pause, self._options.share * took))
                try:
                    async with asyncio.timeout(self._options.again):
                        await changed.wait()
                except TimeoutError:
                    continue
                changed.clear()

    async def keep(self, served: Served) -> float:
        """Write what is served unless it is on disk already; give the seconds it took."""
        state = served.state()
        if state is None:
            return 0.0
        at = self._true_at(state, served)
        is_fresh = at - self._told.at < self._options.refresh
        if is_fresh and not self._told.failing and state.is_same(self._written):
            return 0.0
        began = time.perf_counter()
        try:
            size = await asyncio.to_thread(self._write, state, at)
        except BlockingIOError:
            self._told.not_kept(_TWO_SERVERS)
        except (OSError, ValueError) as error:
            self._told.not_kept(str(error))
        else:
            self._written = state
            self._told.kept(at, len(state.catalog.services), size)
        return time.perf_counter() - began

    def close(self) -> None:
        """Let another server keep what it serves here."""
        self._store.close()

    async def _listen(self, cell: Latest[Any], served: Served, changed: asyncio.Event) -> None:
        self._stand(served)
        async for _ in cell.values():
            self._stand(served)
            changed.set()

    def _stand(self, served: Served) -> None:
        state = served.state()
        self._told.stand(serves=self._from_disk(state, served), waits=state is None)

    def _from_disk(self, state: LastGood | None, served: Served) -> bool:
        loaded, waits = self._restored, served.source.value is None
        return bool(waits and loaded and state and state.catalog is loaded.state.catalog)

    def _true_at(self, state: LastGood, served: Served) -> float:
        """Give when `state` was last known to be what its source says, in Unix seconds."""
        if self._restored is not None and self._from_disk(state, served):
            return self._restored.at
        doubted = [one.since for one in self._told.standings if one.state is not State.LIVE]
        return min([time.time(), *doubted])

    # --- in a thread, as disks can hang --------------------------------------------------------------------

    def _load(self) -> Loaded | None:
        # What was kept can be read all the same; that nothing can be is told when it is to be.
        with contextlib.suppress(OSError):
            self._store.claim()
        data = self._store.read()
        if data is None:
            return None
        return load(data, self._options.source, self._options.max_age, time.time())

    def _write(self, state: LastGood, at: float) -> int:
        self._store.claim()
        source = self._options.source
        if source.kind == "consul":
            source = replace(source, datacenter=state.catalog.datacenter)
        data = pack(Envelope(at=at, source=source, body=self._encoder.encode(state)))
        self._store.write(data)
        return len(data)
