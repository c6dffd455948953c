"""What survived a collection that took long is not looked at again."""

import asyncio
import contextlib
import gc
import inspect

import pytest

from tests.rig.eventually import eventually
from xds_server import telemetry
from xds_server.runtime import garbage as module
from xds_server.runtime.garbage import Collections


@contextlib.asynccontextmanager
async def noted():
    callbacks = len(gc.callbacks)
    task = asyncio.create_task(Collections().run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gc.unfreeze()
    assert len(gc.callbacks) == callbacks


async def test_what_survives_a_long_collection_is_frozen(monkeypatch):
    monkeypatch.setattr(module, "_LONG", -1.0)
    async with noted():
        gc.collect()
        await eventually(gc.get_freeze_count)
        assert telemetry.REGISTRY.get_sample_value("xds_collection_worst_seconds") > 0


async def test_it_is_done_ever_more_seldom(monkeypatch):
    monkeypatch.setattr(module, "_LONG", -1.0)
    frozen = []
    monkeypatch.setattr(module.gc, "freeze", lambda: frozen.append(now[0]))
    now = [100.0]
    one = Collections()
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for _ in range(1000):
        one._freeze()
        now[0] += 1.0
    assert frozen == [100.0, 110.0, 130.0, 170.0, 250.0, 410.0, 730.0]


async def test_objects_are_never_listed():
    """`gc.get_objects` gives tuples that a thread still makes, which then fail there with SystemError."""
    source = inspect.getsource(module)
    assert "get_objects(" not in source
    assert "get_referrers(" not in source


async def test_short_collections_freeze_nothing(monkeypatch):
    monkeypatch.setattr(module, "_LONG", 3600.0)
    async with noted():
        gc.collect()
        await asyncio.sleep(0.01)
        assert gc.get_freeze_count() == 0


async def test_the_young_are_looked_at_more_seldom_while_it_runs():
    before = gc.get_threshold()
    async with noted():
        assert gc.get_threshold()[0] == module.YOUNG > before[0]
    assert gc.get_threshold() == before


class Node:
    alive = 0

    def __init__(self):
        Node.alive += 1
        self.itself = self

    def __del__(self):
        Node.alive -= 1


@pytest.mark.parametrize("count", [1000])
async def test_garbage_that_is_made_later_is_collected(monkeypatch, count):
    monkeypatch.setattr(module, "_LONG", -1.0)
    async with noted():
        gc.collect()
        await eventually(gc.get_freeze_count)
        for _ in range(count):
            Node()
        gc.collect()
        assert Node.alive == 0
