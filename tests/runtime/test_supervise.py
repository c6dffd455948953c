import asyncio
import gc
import itertools
import logging

import pytest

from tests.runtime.clock import run
from xds_server import telemetry
from xds_server.runtime.supervise import report_unawaited, supervise


def starts(behaviours, until):
    """Give the times at which a task is started that behaves so, one after the other, then runs on."""

    async def play():
        loop, started = asyncio.get_running_loop(), []
        left = iter(behaviours)

        async def work():
            started.append(loop.time())
            lasts, error = next(left, (1e9, None))
            await asyncio.sleep(lasts)
            if error is not None:
                raise error

        task = asyncio.create_task(supervise("worker", work))
        await asyncio.sleep(until)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return started

    return run(play())


def pauses(times):
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_a_task_that_runs_is_left_alone():
    assert starts([], until=3600.0) == [0.0]


def test_a_task_that_fails_begins_anew_later_each_time():
    found = pauses(starts([(0.0, OSError("no"))] * 14, until=600.0))

    bounds = [min(0.1 * 2**step, 30.0) for step in range(14)]
    assert len(found) == 14
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(found, bounds, strict=True))


def test_after_a_calm_minute_the_pause_is_short_again():
    times = starts([(0.0, OSError("no"))] * 8 + [(61.0, OSError("no"))], until=600.0)

    assert pauses(times)[-1] <= 61.1


def test_a_task_that_ends_begins_anew(caplog):
    with caplog.at_level(logging.ERROR, "xds_server"):
        assert len(starts([(1.0, None)], until=60.0)) == 2

    assert [record.message for record in caplog.records] == ["task.failed"]
    assert caplog.records[0].fields["task"] == "worker"


def test_a_failure_is_told_with_its_reason(caplog):
    with caplog.at_level(logging.ERROR, "xds_server"):
        starts([(0.0, OSError("disk on fire"))], until=60.0)

    (record,) = caplog.records
    assert record.fields == {"task": "worker", "error": "OSError('disk on fire')"}
    assert record.exc_info


def failures(task):
    return telemetry.REGISTRY.get_sample_value("xds_task_failures_total", {"task": task}) or 0


def test_failures_are_counted_by_what_failed_not_by_what_it_was_about(caplog):
    before = failures("follower")

    async def fail():
        raise OSError("no")

    async def play():
        task = asyncio.create_task(supervise("follower", fail, about="user"))
        await asyncio.sleep(0.15)
        task.cancel()

    run(play())

    assert failures("follower") == before + 2
    assert caplog.records[0].fields["task"] == "follower user"


async def test_what_fails_where_nobody_waits_is_told(caplog):
    loop = asyncio.get_running_loop()
    report_unawaited(loop)
    before = failures("unawaited")

    async def lost():
        raise OSError("disk on fire")

    task = asyncio.create_task(lost(), name="follower")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    loop.call_soon(int, "ten")
    await asyncio.sleep(0.01)

    assert failures("unawaited") == before + 2
    first, second = (record.fields for record in caplog.records)
    assert first == {"task": "unawaited follower", "error": "OSError('disk on fire')"}
    assert second["task"] == "unawaited callback"
    assert "ValueError" in second["error"]
