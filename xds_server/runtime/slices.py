"""Long work beside the event loop: a little of it is done at once, and what takes longer in a thread.

Most changes take a millisecond, and are done before anybody else has a turn. A build of thousands of services
takes seconds. In a thread it shares the interpreter with the loop, which has it back every 5 ms
(`sys.getswitchinterval`), however long a single step is.
"""

import asyncio
import threading
import time
from typing import Final, TypeVar

from xds_server.model.steps import Steps

T = TypeVar("T")

_SLICE: Final = 0.01
"""Seconds that are worked in one go: a stream that waits for the loop waits about so long."""


async def in_slices(steps: Steps[T]) -> T:
    """Do all steps, and let everything else go on meanwhile; give what comes of them.

    The steps are never done twice at a time: when this is cancelled, the thread stops after its step first.
    """
    until = time.perf_counter() + _SLICE
    while time.perf_counter() < until:
        try:
            next(steps)
        except StopIteration as done:
            value: T = done.value
            return value
    stop = threading.Event()
    made: list[T] = []
    work = asyncio.get_running_loop().run_in_executor(None, _finish, steps, stop, made)
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        raise
    return made[0]


def _finish(steps: Steps[T], stop: threading.Event, made: list[T]) -> None:
    """Do the steps in this thread until it is to stop; what comes of all of them is `made`."""
    while not stop.is_set():
        try:
            next(steps)
        except StopIteration as done:
            made.append(done.value)
            return
