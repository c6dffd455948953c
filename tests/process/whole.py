"""The whole server in this process, as `xds-server serve` puts it together, on a catalog the test feeds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.runtime.inputs import LOOPBACK
from xds_server.app import serve as app
from xds_server.model.catalog import Catalog
from xds_server.runtime import building, supervise
from xds_server.runtime.latest import Latest
from xds_server.settings import Settings
from xds_server.settings.values import ADMIN_DEFAULT, XDS_DEFAULT


@dataclass(frozen=True, slots=True)
class Whole:
    """What the server is fed with, and where it listens."""

    feed: Latest[Catalog]
    port: int
    admin_port: int


@contextlib.asynccontextmanager
async def whole(monkeypatch: pytest.MonkeyPatch, first: Catalog) -> AsyncIterator[Whole]:
    """Run it. What failed is begun anew almost at once: the pauses have a test of their own."""
    monkeypatch.setattr(supervise, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervise, "_LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(building, "_RETRY", 0.01)
    monkeypatch.setattr(building, "_LATEST_RETRY", 0.05)
    one = Whole(Latest(first), free_port(), free_port())
    stop = asyncio.Event()
    monkeypatch.setattr(app, "_told_to_stop", stop.wait)
    monkeypatch.setattr(app, "_catalog_source", lambda _settings, sources, *_: _source(one.feed, sources))
    settings = Settings(
        # It is not registered anywhere where the catalog is a file.
        catalog_file=app.Path("none.yaml"),
        xds=replace(XDS_DEFAULT, port=one.port, drain_time=0.1),
        admin=replace(ADMIN_DEFAULT, port=one.admin_port),
        policy=LOOPBACK,
    )
    serving = asyncio.create_task(app.serve(settings, lambda: settings))
    try:
        await eventually(lambda: _listens(one.port, serving), within=10.0)
        yield one
        assert not serving.done()
    finally:
        stop.set()
        await serving


def _source(feed: Latest[Catalog], sources: Any) -> Any:
    async def run() -> None:
        async for catalog in feed.values():
            take(sources, catalog)

    return run


def take(sources: Any, catalog: Catalog) -> None:
    """Publish what the feed has; a hook, like any function of the server."""
    sources.catalog.publish(catalog)


async def _listens(port: int, serving: asyncio.Task[None]) -> bool:
    if serving.done():
        serving.result()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True
