"""How late the event loop is: everything in this process waits for it, so its lag is everybody's latency.

A task that sleeps tells how much later than asked it was woken. While the loop is blocked no task runs, so a
thread looks on, and tells what the loop's own thread is doing. Times are monotonic: a clock that is set
neither blocks nor unblocks anything.
"""

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from xds_server import telemetry
from xds_server.telemetry import Event, log

_FRAMES: Final = 25
"""How many frames of a stack are told, the innermost ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LagOptions:
    """Seconds: between two beats of the loop, without a beat until it counts as blocked, and looked back."""

    beat: float = 0.1
    blocked: float = 2.0
    window: int = 60


class LoopLag:
    """Measures the lag of the loop it runs in, and tells of a loop that is blocked."""

    def __init__(self, options: LagOptions | None = None) -> None:
        self._options = options or LagOptions()
        self._recent = _Recent(self._options.window)
        self._beaten = 0.0
        self._cpu = 0.0

    @property
    def worst(self) -> float:
        """The greatest lag of the last minute, in seconds."""
        return self._recent.worst

    async def run(self) -> None:
        """Measure for ever."""
        options = self._options
        self._beat()
        with _watched(self, options):
            while True:
                await asyncio.sleep(options.beat)
                self._take()

    def _take(self) -> None:
        # From beat to beat, without a gap: a process may be stopped between any two of its lines.
        beaten, used = self._beaten, self._cpu
        self._beat()
        cpu = self._cpu - used
        lag = max(0.0, self._beaten - beaten - self._options.beat)
        self._recent.add(lag, self._beaten)
        telemetry.LOOP_LAG.observe(lag)
        telemetry.LOOP_LAG_WORST.set(self._recent.worst)
        if lag >= self._options.blocked:
            log(Event.LOOP_UNBLOCKED, logging.WARNING, seconds=round(lag, 2), cpu_seconds=round(cpu, 2))

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        self._cpu = time.process_time()

    def silent(self) -> float:
        """Give the seconds since the last beat; for the thread that looks on."""
        return time.monotonic() - self._beaten


class _Recent:
    """The greatest value of the last so many seconds, kept as one value for each second."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._seconds: deque[tuple[int, float]] = deque()

    @property
    def worst(self) -> float:
        return max((value for _, value in self._seconds), default=0.0)

    def add(self, value: float, at: float) -> None:
        second = int(at)
        if self._seconds and self._seconds[-1][0] == second:
            value = max(value, self._seconds.pop()[1])
        self._seconds.append((second, value))
        while self._seconds[0][0] <= second - self._window:
            self._seconds.popleft()


@contextlib.contextmanager
def _watched(lag: LoopLag, options: LagOptions) -> Iterator[None]:
    """Have a thread look on. It is a daemon: the process never waits for it."""
    done = threading.Event()
    watchdog = threading.Thread(
        target=_look_on, args=(lag, options, threading.get_ident(), done), name="loop watchdog", daemon=True
    )
    watchdog.start()
    try:
        yield
    finally:
        done.set()


def _look_on(lag: LoopLag, options: LagOptions, loop_thread: int, done: threading.Event) -> None:
    """Tell once of each time that the loop is blocked, until it is `done`."""
    told = False
    pause = options.blocked / 8
    while True:
        slept = time.monotonic()
        if done.wait(pause):
            return
        if time.monotonic() - slept > options.blocked / 2:
            # The whole process stood still, or one call of C held all its threads: the loop is as late as
            # this thread is, and may come at once. It tells that itself.
            continue
        silent = lag.silent()
        if silent < options.blocked:
            told = False
        elif not told:
            told = True
            log(Event.LOOP_BLOCKED, logging.ERROR, seconds=round(silent, 2), stack=_stack(loop_thread))


def _stack(thread: int) -> str:
    """Name the functions a thread is in, innermost first, with module and line; values may be keys."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to a stack
    told: list[str] = []
    while frame is not None and len(told) < _FRAMES:
        name = frame.f_globals.get("__name__", "?")
        told.append(f"{name}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(told)
