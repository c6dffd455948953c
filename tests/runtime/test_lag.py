"""The loop's lag is measured, and a thread tells of a loop that is blocked."""

import asyncio
import contextlib
import json
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tests.rig.eventually import eventually
from xds_server import telemetry
from xds_server.runtime import lag as module
from xds_server.runtime.lag import LagOptions, LoopLag

QUICK = LagOptions(beat=0.01, blocked=0.2)


@contextlib.asynccontextmanager
async def measuring(options=QUICK):
    lag = LoopLag(options)
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(3 * options.beat)
    try:
        yield lag
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def told(caplog, event):
    return [record.fields for record in caplog.records if record.message == event]


def block_with_key(key, seconds):
    # As a long computation does it, but letting other threads run.
    time.sleep(seconds)
    return key


async def test_a_blocked_loop_is_told_while_it_is_and_when_it_is_over(caplog):
    with caplog.at_level(logging.DEBUG, "xds_server"):
        async with measuring() as lag:
            block_with_key("top-secret", 0.8)
            during = told(caplog, "loop.blocked")
            await eventually(lambda: told(caplog, "loop.unblocked"))

    (blocked,) = during
    assert blocked["seconds"] >= 0.2
    assert "test_lag.block_with_key:" in blocked["stack"]
    assert blocked["stack"].index("block_with_key") < blocked["stack"].index("test_a_blocked_loop")
    assert "top-secret" not in blocked["stack"]
    (unblocked,) = told(caplog, "loop.unblocked")
    assert unblocked["seconds"] > 0.6
    assert unblocked["cpu_seconds"] < unblocked["seconds"]
    assert lag.worst == pytest.approx(unblocked["seconds"], abs=0.01)


async def test_each_time_it_is_blocked_is_told(caplog):
    with caplog.at_level(logging.DEBUG, "xds_server"):
        async with measuring():
            for _ in range(2):
                block_with_key("", 0.5)
                await asyncio.sleep(0.3)

    assert len(told(caplog, "loop.blocked")) == 2


async def test_a_lag_is_observed_and_the_worst_of_the_last_minute_shown():
    before = telemetry.REGISTRY.get_sample_value("xds_loop_lag_seconds_count") or 0
    async with measuring() as lag:
        block_with_key("", 0.1)
        await eventually(lambda: lag.worst >= 0.09)
        assert telemetry.REGISTRY.get_sample_value("xds_loop_lag_worst_seconds") == lag.worst
    assert telemetry.REGISTRY.get_sample_value("xds_loop_lag_seconds_count") > before


async def test_a_stop_between_two_measurements_is_seen_as_well(monkeypatch):
    def stop_once(_):
        monkeypatch.undo()
        time.sleep(0.3)

    async with measuring() as lag:
        monkeypatch.setattr(telemetry.LOOP_LAG, "observe", stop_once)
        await eventually(lambda: lag.worst >= 0.25)


def test_what_is_longer_ago_than_the_window_is_forgotten():
    recent = module._Recent(60)
    recent.add(3.0, at=100.2)
    recent.add(0.1, at=100.9)
    assert recent.worst == 3.0
    recent.add(0.2, at=159.0)
    assert recent.worst == 3.0
    recent.add(0.1, at=160.0)
    assert recent.worst == 0.2
    assert len(recent._seconds) == 2


async def test_the_watchdog_ends_with_the_task():
    names = lambda: [one.name for one in threading.enumerate()]  # noqa: E731
    async with measuring():
        assert "loop watchdog" in names()
    await eventually(lambda: "loop watchdog" not in names())


STOPPED = """
import asyncio, sys
from xds_server.runtime.lag import LagOptions, LoopLag
from xds_server.telemetry import configure_logging
configure_logging(level="debug", form="json", stream=sys.stdout)
async def main():
    asyncio.create_task(LoopLag(LagOptions(beat=0.02, blocked=0.4)).run())
    await asyncio.sleep(0.1)
    print("{}", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_process_that_was_stopped_was_not_blocked_by_a_function():
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(STOPPED)], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        child.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        child.send_signal(signal.SIGCONT)
        line = json.loads(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()

    assert line["event"] == "loop.unblocked"
    assert line["seconds"] > 1.0
    assert line["cpu_seconds"] < 0.5
