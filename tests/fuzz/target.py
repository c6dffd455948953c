"""What is fuzzed, and for how long."""

import atexit
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

SEEDS = Path(__file__).parent / "seeds"
_SLOWEST = 5.0
"""Seconds of the processor that one input may take; what takes longer is a way to stop the server."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """`one` is given what `inputs` draws, and raises where the server would be harmed by it.

    `of_bytes` makes such an input of a seed; None where seeds have no meaning. The time is looked at after
    `batch` inputs: fewer of those that take long to draw.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    one: Callable[[Any], None]
    of_bytes: Callable[[bytes], Any] | None = None
    batch: int = 100

    def seeds(self) -> list[Path]:
        """Give the files of `seeds/<name>`: what each fuzzer begins with, and what it once stumbled upon."""
        return seeds(self.name)


def seeds(name: str) -> list[Path]:
    return sorted(path for path in (SEEDS / name).glob("*") if path.is_file())


@cache
def workplace() -> Path:
    """Give a folder for files, which is removed when this process ends."""
    folder = Path(mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def contents(name: str) -> list[bytes]:
    return [path.read_bytes() for path in seeds(name)]


def search(target: Target, seconds: float, random: Random) -> int:
    """Fuzz for so many seconds, and give how many inputs were tried; raises what the target raises."""
    end = time.monotonic() + seconds
    tried = 0

    def timed(data: Any) -> None:
        nonlocal tried
        # The first may take longer to make than there is time.
        if tried and time.monotonic() > end:
            return
        tried += 1
        before = time.thread_time()
        target.one(data)
        took = time.thread_time() - before
        assert took < _SLOWEST, f"took {took:.1f} s"

    while time.monotonic() < end:
        seed(random.getrandbits(64))(_searching(given(target.inputs)(timed), target.batch))()
    return tried


def _searching(test: Callable[[], None], examples: int) -> Callable[[], None]:
    made = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.normal,
    )
    return made(test)
