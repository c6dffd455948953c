"""Runs xds-server with a handle for tests: at SIGUSR1 it does what a file says, inside the process.

    python hooks.py FILE serve ...

The file holds one JSON object; `ACTIONS` has what it may say. The product has no such handle.
"""

import importlib
import json
import os
import resource
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

_REAL_TIME = time.time


def block(seconds: float) -> None:
    """Hold up the main thread, and so the event loop."""
    time.sleep(seconds)


def set_clock(ahead: float) -> None:
    """Let the wall clock be so many seconds ahead; monotonic clocks know nothing of it."""
    time.time = lambda: _REAL_TIME() + ahead


def close_log() -> None:
    """Let everything that is written to standard output and error fail with EPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    for descriptor in (1, 2):
        os.dup2(writer, descriptor)
    os.close(writer)


def fill_disk(size: int) -> None:
    """Let every write beyond so many bytes of a file fail, as on a disk that is full (EFBIG)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fail(places: list[str], times: int) -> None:
    """Let the next calls of each `module:Class.method`, so many, raise."""
    for place in places:
        _spoil(place, times)


def _spoil(place: str, times: int) -> None:
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for one in classes:
        owner = getattr(owner, one)
    real = owner.__dict__[name] if classes else getattr(owner, name)
    left = [times]

    def spoiled(*given: Any, **named: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise RuntimeError(f"injected into {place}")
        return real(*given, **named)

    setattr(owner, name, spoiled)


ACTIONS = {one.__name__: one for one in (block, set_clock, close_log, fill_disk, fail)}


def main() -> None:
    handle = Path(sys.argv.pop(1))

    def act(_number: int, _frame: object) -> None:
        said = json.loads(handle.read_text())
        handle.unlink()
        ACTIONS[said.pop("do")](**said)

    signal.signal(signal.SIGUSR1, act)
    # What is imported here is what the server uses: not this file's folder.
    sys.path[0] = str(Path(__file__).parents[2])
    runpy.run_module("xds_server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
