"""When it is written, what is told, and that no failure of a disk is one of the server."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.files.last_good_states import CONSUL, EVERYTHING
from tests.rig.catalogs import catalog, service
from tests.rig.eventually import eventually
from xds_server.files.last_good import Keeper, KeepOptions, LastGood, Served
from xds_server.files.last_good.body import Encoder
from xds_server.files.last_good.envelope import Envelope, pack
from xds_server.files.last_good.store import Store
from xds_server.model.catalog import Catalog
from xds_server.model.kept_file import KeptFile
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest

DAY = 86400.0
LIVE = Standing(source="consul dc1", state=State.LIVE, reason="", since=1.0)
STALE = Standing(source="consul dc1", state=State.STALE, reason="Consul is down.", since=1_795_000_000.0)


class Rig:
    """A keeper with the cells around it; what is served is `out`."""

    def __init__(self, directory: Path, **options: float) -> None:
        self.directory = directory
        self.path = directory / "last-good"
        self.source: Latest[Catalog] = Latest()
        self.out: Latest[Catalog] = Latest()
        self.standings: Latest[tuple[Standing, ...]] = Latest((LIVE,))
        self.file = Latest[KeptFile]()
        given = {"pause": 0.01, "share": 0.0, "again": 0.05, **options}
        self.keeper = Keeper(
            KeepOptions(directory=directory, source=CONSUL, **given), self.standings, self.file
        )
        self.served = Served(source=self.source, state=self.state, cells=(self.out,))

    def state(self) -> LastGood | None:
        return LastGood(catalog=self.out.value) if self.out.value else None

    def serve(self, value: Catalog) -> None:
        self.source.publish(value)
        self.out.publish(value)

    @property
    def names(self) -> list[str]:
        return [one.source for one in self.standings.value or ()]


@pytest.fixture
async def rig(tmp_path):
    """Give a keeper that runs."""
    made = Rig(tmp_path / "state")
    task = asyncio.create_task(made.keeper.run(made.served))
    yield made
    task.cancel()
    await asyncio.wait([task])
    made.keeper.close()


def write(directory: Path, at: float, state: LastGood = EVERYTHING) -> None:
    store = Store(directory)
    store.claim()
    store.write(pack(Envelope(at=at, source=CONSUL, body=Encoder().encode(state))))
    store.close()


async def loaded(directory: Path) -> LastGood | None:
    """Give what the next server would find."""
    next_one = Rig(directory)
    try:
        return await next_one.keeper.load()
    finally:
        next_one.keeper.close()


# --- what is kept ---------------------------------------------------------------------------------------


async def test_what_is_served_is_on_disk_and_so_is_what_follows(rig):
    for served in (catalog(service("user")), catalog(service("user"), service("order"))):
        rig.serve(served)
        await eventually(lambda served=served: rig.file.value.services == len(served.services))
        assert (await loaded(rig.directory)).catalog == served

    assert abs(rig.file.value.at - time.time()) < 60


async def test_nothing_is_written_without_a_change(rig):
    rig.serve(catalog(service("user")))
    await eventually(rig.path.exists)
    before = rig.path.stat().st_ino
    await asyncio.sleep(0.3)

    assert rig.path.stat().st_ino == before


async def test_it_is_written_again_before_it_is_too_old_for_as_long_as_its_source_is_live(tmp_path):
    rig = Rig(tmp_path, refresh=0.0)
    rig.serve(catalog(service("user")))
    await rig.keeper.keep(rig.served)
    first = rig.file.value.at
    await rig.keeper.keep(rig.served)
    assert rig.file.value.at > first

    rig.standings.publish((STALE,))
    rig.serve(catalog(service("user"), service("order")))
    await rig.keeper.keep(rig.served)
    # What is stale is no younger than the time at which it became so.
    assert rig.file.value.at == STALE.since
    rig.keeper.close()


async def test_a_large_catalog_is_written_less_often(tmp_path, monkeypatch):
    rig = Rig(tmp_path, share=1000.0)
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.Event().wait()

    monkeypatch.setattr("xds_server.files.last_good.keeper.asyncio.sleep", sleep)
    rig.serve(catalog(service("user")))
    task = asyncio.create_task(rig.keeper.run(rig.served))
    await eventually_without_sleep(lambda: slept)
    task.cancel()
    await asyncio.wait([task])
    rig.keeper.close()

    assert slept[0] > 0.1


async def eventually_without_sleep(fact):
    async with asyncio.timeout(30):
        while not fact():
            await asyncio.wait_for(asyncio.to_thread(time.sleep, 0.01), 10)


# --- what is loaded -------------------------------------------------------------------------------------


async def test_what_is_loaded_is_one_of_the_sources_until_its_own_answers(tmp_path):
    at = time.time() - DAY
    write(tmp_path, at)
    rig = Rig(tmp_path)
    state = await rig.keeper.load()
    assert state == EVERYTHING
    assert (rig.file.value.at, rig.file.value.services) == (at, 3)

    task = asyncio.create_task(rig.keeper.run(rig.served))
    rig.out.publish(state.catalog)
    await eventually(lambda: "last good" in rig.names)
    (own,) = [one for one in rig.standings.value if one.source == "last good"]
    assert own.state is State.STALE
    assert str(rig.path) in own.reason
    # It is as old as it was: a server that starts again and again does not make it any younger.
    assert rig.file.value.at == at

    rig.serve(catalog(service("user")))
    await eventually(lambda: rig.names == ["consul dc1"])
    await eventually(lambda: rig.file.value.services == 1)
    task.cancel()
    await asyncio.wait([task])
    rig.keeper.close()


async def test_a_source_that_says_the_same_as_the_disk_makes_it_young_again(tmp_path):
    at = time.time() - DAY
    write(tmp_path, at)
    rig = Rig(tmp_path)
    state = await rig.keeper.load()
    rig.out.publish(state.catalog)
    # The cell keeps the value that it had, as the new one is equal.
    rig.serve(replace(state.catalog))
    assert rig.out.value is state.catalog
    await rig.keeper.keep(rig.served)
    rig.keeper.close()

    assert rig.file.value.at > at


async def test_what_is_refused_is_told_of_until_something_is_served(tmp_path):
    write(tmp_path, time.time() - 8 * DAY)
    rig = Rig(tmp_path)
    assert await rig.keeper.load() is None
    assert "8.0 days ago" in rig.file.value.refused
    assert (tmp_path / "last-good.refused").exists()
    task = asyncio.create_task(rig.keeper.run(rig.served))
    await eventually(lambda: "last good" in rig.names)

    rig.serve(catalog(service("user")))
    await eventually(lambda: rig.names == ["consul dc1"])
    await eventually(lambda: not rig.file.value.refused)
    task.cancel()
    await asyncio.wait([task])
    rig.keeper.close()


@pytest.mark.parametrize("there", ["directory", "fifo", "link", "garbage", "empty"])
async def test_whatever_is_in_the_place_of_the_file_is_refused_and_replaced(tmp_path, there):
    path, other = tmp_path / "last-good", tmp_path / "other"
    make = {
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(other),
        "garbage": lambda: path.write_bytes(os.urandom(5000)),
        "empty": path.touch,
    }
    if there == "link":
        other.touch()
    make[there]()
    rig = Rig(tmp_path)
    assert await rig.keeper.load() is None
    assert rig.file.value.refused

    rig.serve(catalog(service("user")))
    await rig.keeper.keep(rig.served)
    rig.keeper.close()

    assert (await loaded(tmp_path)).catalog == rig.out.value
    # What a link leads to is nothing of ours.
    assert not other.exists() or not other.stat().st_size


async def test_a_bug_of_ours_keeps_no_server_from_starting(tmp_path, monkeypatch):
    write(tmp_path, time.time())
    monkeypatch.setattr("xds_server.files.last_good.loading.decode", {}.__getitem__)
    rig = Rig(tmp_path)

    assert await rig.keeper.load() is None
    assert "KeyError" in rig.file.value.refused
    rig.keeper.close()


async def test_no_file_is_no_event(tmp_path):
    assert await loaded(tmp_path) is None
    assert not (tmp_path / "last-good.refused").exists()


# --- what fails -----------------------------------------------------------------------------------------


async def test_a_disk_that_fails_is_told_of_and_tried_again(rig, monkeypatch):
    def full(_store: Store, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "write", full)
        rig.serve(catalog(service("user")))
        await eventually(lambda: "No space left" in rig.file.value.error)
    await eventually(lambda: not rig.file.value.error)

    assert (await loaded(rig.directory)).catalog == rig.out.value


async def test_of_two_servers_one_keeps_until_it_is_gone(rig):
    rig.serve(catalog(service("user")))
    await eventually(rig.path.exists)
    second = Rig(rig.directory)
    assert (await second.keeper.load()).catalog == rig.out.value
    second.serve(catalog(service("order")))
    await second.keeper.keep(second.served)
    assert (
        second.file.value.error == "another xds-server keeps its catalog there; give each its own state_dir"
    )

    rig.keeper.close()
    await second.keeper.keep(second.served)
    assert not second.file.value.error
    second.keeper.close()


async def test_a_directory_that_cannot_be_made_is_told_of(tmp_path):
    (tmp_path / "file").touch()
    rig = Rig(tmp_path / "file" / "state")
    assert await rig.keeper.load() is None
    rig.serve(catalog(service("user")))
    await rig.keeper.keep(rig.served)

    assert "Not a directory" in rig.file.value.error
