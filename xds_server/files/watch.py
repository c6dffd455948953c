"""Seeing that files change: in place, by an atomic rename, or by the swap of a symbolic link.

Directories are watched, not files, because a file that is replaced takes its watch with it. What counts is
whether a path now leads to something else than before; other files of the directory do not.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeAlias

_QUIET: Final = 0.05
_AT_MOST: Final = 0.25
_GATHER_MS: Final = 10
# Network file systems send no events, and a change may come while the watch is being made.
_LOOK_ANYWAY_MS: Final = 1000
_POLL: Final = 0.25
_MAX_LINKS: Final = 40

_State: TypeAlias = tuple[tuple[int, int, int, int, int] | None, ...]


def file_changes(paths: Iterable[Path]) -> AsyncIterator[None]:
    """Yield each time one of `paths` leads to other content than before, once it was quiet for 50 ms.

    What the files were is noted in this call, so a caller that calls it first and then reads misses no
    change. The files need not exist. Never ends by itself. Where the system has no watches left, the files
    are looked at four times a second.
    """
    watched = tuple(paths)
    return _changes(watched, _state(watched))


async def _changes(paths: tuple[Path, ...], seen: _State) -> AsyncGenerator[None]:
    while True:
        # From the last look to the making of the watch nothing is awaited, so no change falls in between.
        while _state(paths) != seen:
            seen = await _settled(paths)
            yield
        directories = _directories(paths)
        async with aclosing(_signs(directories)) as signs:
            async for _ in signs:
                if _directories(paths) != directories or _state(paths) != seen:
                    break


async def _settled(paths: tuple[Path, ...]) -> _State:
    """Wait until the files are left alone: a file that is just being written is empty, or half there."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _AT_MOST
    state = _state(paths)
    while True:
        await asyncio.sleep(_QUIET)
        now = _state(paths)
        if now == state or loop.time() >= end:
            return now
        state = now


async def _signs(directories: frozenset[Path]) -> AsyncGenerator[None]:
    """Yield when something may have changed; end when the watch has to be made anew."""
    from watchfiles import awatch  # noqa: PLC0415 - it brings anyio and more: not before we listen

    try:
        async for _ in awatch(
            *directories,
            watch_filter=None,
            debounce=_GATHER_MS,
            step=_GATHER_MS,
            rust_timeout=_LOOK_ANYWAY_MS,
            yield_on_timeout=True,
            recursive=False,
        ):
            yield
    except (OSError, RuntimeError):  # no watches left, a directory gone in between, or no events here at all
        await asyncio.sleep(_POLL)
        yield


def _state(paths: tuple[Path, ...]) -> _State:
    return tuple(_one_state(path) for path in paths)


def _one_state(path: Path) -> tuple[int, int, int, int, int] | None:
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _directories(paths: tuple[Path, ...]) -> frozenset[Path]:
    """Give every directory in which a change can make one of `paths` lead elsewhere."""
    return frozenset(directory for path in paths for directory in _along(path.absolute()))


def _along(path: Path) -> set[Path]:
    """Follow the links of a path, and give the directories that hold a link or the file itself."""
    found: set[Path] = set()
    rest = list(path.parts[1:])[::-1]
    here = Path(path.anchor)
    links = 0
    while rest:
        part = rest.pop()
        if part == "..":
            here = here.parent
            continue
        step = here / part
        try:
            target = step.readlink() if links < _MAX_LINKS else None
        except (OSError, ValueError):
            target = None
        if target is not None:
            links += 1
            found.add(here)
            rest += (here / target).parts[1:][::-1]
            here = Path(path.anchor)
        elif not rest or not step.is_dir():
            found.add(here)
            break
        else:
            here = step
    return found
