import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from xds_server.files import file_changes
from xds_server.files.watch import _directories

SOON = 5.0


class Seen:
    """Counts what `file_changes` yields, and waits for more."""

    def __init__(self) -> None:
        self.count = 0
        self._more = asyncio.Event()

    def add(self) -> None:
        self.count += 1
        self._more.set()

    async def one_more(self) -> None:
        async with asyncio.timeout(SOON):
            await self._more.wait()
        self._more.clear()


@asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[Seen]:
    seen = Seen()
    changes = file_changes(paths)

    async def follow() -> None:
        async for _ in changes:
            seen.add()

    task = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=SOON)
        assert task.cancelled()


def rename_over(file: Path, text: str) -> None:
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


def truncate_and_write(file: Path, text: str) -> None:
    file.write_text(text)


def remove_and_create(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


@pytest.mark.parametrize("change", [rename_over, truncate_and_write, remove_and_create])
@pytest.mark.case(139)
async def test_each_way_to_replace_a_file_is_seen_again_and_again(tmp_path, change):
    file = tmp_path / "file"
    file.write_text("0")

    async with watching(file) as seen:
        for step in range(3):
            change(file, f"text {step}")
            await seen.one_more()


async def test_a_change_before_the_first_wait_is_not_missed(tmp_path):
    file = tmp_path / "file"
    file.write_text("0")
    changes = file_changes([file])
    file.write_text("other")

    async with asyncio.timeout(SOON):
        assert await anext(changes) is None


async def test_a_file_that_does_not_exist_yet_is_seen_when_it_comes(tmp_path):
    file = tmp_path / "deep" / "er" / "file"

    async with watching(file) as seen:
        file.parent.mkdir(parents=True)
        file.write_text("1")
        await seen.one_more()
        file.write_text("22")
        await seen.one_more()


async def test_a_swapped_link_is_seen_as_kubernetes_does_it(tmp_path):
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "file").symlink_to("..data/file")

    async with watching(tmp_path / "file") as seen:
        (tmp_path / "..tmp").symlink_to("v2")
        (tmp_path / "..tmp").replace(tmp_path / "..data")
        await seen.one_more()


async def test_a_change_behind_a_link_is_seen(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    target = tmp_path / "elsewhere" / "target"
    target.write_text("1")
    (tmp_path / "here" / "file").symlink_to(target)

    async with watching(tmp_path / "here" / "file") as seen:
        rename_over(target, "2")
        await seen.one_more()


def test_every_directory_that_decides_where_a_path_leads_is_watched(tmp_path):
    for folder in ("here", "there", "v1"):
        (tmp_path / folder).mkdir()
    (tmp_path / "here" / "file").symlink_to("../there/data/file")
    (tmp_path / "there" / "data").symlink_to(tmp_path / "v1")

    def watched(path: Path) -> set[str]:
        return {str(folder.relative_to(tmp_path)) for folder in _directories((path,))}

    assert watched(tmp_path / "here" / "file") == {"here", "there", "v1"}
    assert watched(tmp_path / "v1" / "file") == {"v1"}
    assert watched(tmp_path / "none" / "such" / "file") == {"."}


async def test_links_in_a_circle_are_survived(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert _directories((tmp_path / "a",)) == {tmp_path}

    async with watching(tmp_path / "a") as seen:
        rename_over(tmp_path / "a", "now a file")
        await seen.one_more()


async def test_other_files_of_the_directory_do_not_matter(tmp_path):
    file = tmp_path / "file"
    file.write_text("0")

    async with watching(file) as seen:
        for step in range(5):
            (tmp_path / f"other-{step}").write_text("x")
            await asyncio.sleep(0.02)
        file.write_text("11")
        await seen.one_more()
        assert seen.count == 1


async def test_a_burst_is_one_change(tmp_path):
    files = [tmp_path / f"file-{number}" for number in range(20)]

    async with watching(*files) as seen:
        for file in files:
            file.write_text("x")
        await seen.one_more()
        files[0].write_text("last")
        await seen.one_more()
        assert seen.count <= 3


async def test_a_file_that_is_being_written_is_left_alone_until_it_is_whole(tmp_path):
    file = tmp_path / "file"
    file.write_text("whole")
    read = []
    changes = file_changes([file])

    async def write_slowly() -> None:
        with file.open("w") as out:
            for part in ("a", "b", "c", "d"):
                await asyncio.sleep(0.02)
                out.write(part)
                out.flush()

    async with asyncio.timeout(SOON):
        writing = asyncio.create_task(write_slowly())
        await anext(changes)
        read.append(file.read_text())
        await writing

    assert read == ["abcd"]


async def test_without_watches_the_files_are_looked_at(tmp_path, monkeypatch):
    def no_watches(*_args, **_kwargs):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("watchfiles.awatch", no_watches)
    file = tmp_path / "file"

    async with watching(file) as seen:
        file.write_text("1")
        await seen.one_more()
        rename_over(file, "2")
        await seen.one_more()
