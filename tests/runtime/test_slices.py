"""Long work does not hold up the loop, is done once, and gives what it gives."""

import asyncio
import threading
import time

import pytest

from tests.rig.eventually import eventually
from xds_server.runtime.slices import in_slices


def steps(count, each, seen=None):
    """Work of so many steps of so many seconds; `seen` gets the thread of each."""
    for _ in range(count):
        end = time.perf_counter() + each
        while time.perf_counter() < end:
            pass
        if seen is not None:
            seen.append(threading.get_ident())
        yield
    return count - 1


async def test_short_work_is_done_at_once_in_the_loop_s_own_thread():
    seen = []
    assert await in_slices(steps(5, 0.0001, seen)) == 4
    assert set(seen) == {threading.get_ident()}


async def test_long_work_is_gone_on_with_elsewhere_and_the_loop_runs():
    worst = 0.0
    seen = []

    async def look():
        nonlocal worst
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - began)

    # It begins to look after the first step, before which nothing can tell that the work is long.
    looking = asyncio.create_task(look())
    assert await in_slices(steps(5, 0.3, seen)) == 4
    looking.cancel()

    assert seen[0] == threading.get_ident()
    assert threading.get_ident() not in seen[1:]
    assert worst < 0.29


async def test_what_is_raised_is_raised_here():
    def fails(after):
        yield from steps(1, after)
        raise ValueError("no")

    for after in (0.0, 0.05):
        with pytest.raises(ValueError, match="no"):
            await in_slices(fails(after))


async def test_when_it_is_cancelled_the_work_has_stopped():
    """Or else the next build would begin while the last one still changes what both remember."""
    seen = []
    work = asyncio.create_task(in_slices(steps(1000, 0.02, seen)))
    await eventually(lambda: len(seen) > 3)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    done = len(seen)
    assert done < 1000
    await asyncio.sleep(0.1)
    assert len(seen) == done
