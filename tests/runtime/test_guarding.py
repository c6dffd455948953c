"""The guards between source and pipeline: what wakes them, what they tell, and how a hold is released."""

import asyncio
import contextlib

import pytest

from tests.guard.test_guards import first, fleet
from tests.rig.eventually import eventually
from tests.runtime import clock
from tests.runtime.inputs import LOOPBACK, Inputs, catalog
from xds_server.guard import GuardOptions
from xds_server.model.catalog import Catalog
from xds_server.model.hold import Hold
from xds_server.model.policy import LastEndpoint, Policy, ServicePolicy
from xds_server.model.problem import Code
from xds_server.model.standing import Standing, State
from xds_server.runtime import guarding as module
from xds_server.runtime.guarding import Guarding
from xds_server.runtime.latest import Latest

AT_ONCE = GuardOptions(remove_clusters_after=0.0)


class Parts:
    def __init__(self, options=AT_ONCE, restored=None, policy=None):
        self.source: Latest[Catalog] = Latest()
        self.policy: Latest[Policy] = Latest(policy or Policy())
        self.out: Latest[Catalog] = Latest()
        self.standings: Latest[tuple[Standing, ...]] = Latest((standing(State.LIVE),))
        self.guarding = Guarding(self.source, self.policy, self.out, options, restored, self.standings)

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.guarding.run())
        try:
            yield self
        finally:
            task.cancel()

    async def served(self, expected, within=2.0):
        await eventually(lambda: self.out.value is expected, within=within)

    @property
    def held(self):
        return [hold.id for hold in self.guarding.holds]


def standing(state):
    return Standing(source="consul dc1", state=state, reason="", since=0.0)


def events(caplog, name):
    return [record.fields for record in caplog.records if record.getMessage() == name]


async def test_a_catalog_that_nobody_holds_passes_as_it_is():
    async with Parts().running() as parts:
        for whole in (fleet(3), fleet(4)):
            parts.source.publish(whole)
            await parts.served(whole)
    assert parts.held == []


async def test_a_hold_is_told_once_and_released_by_accept(caplog):
    caplog.set_level("INFO", logger="xds_server")
    whole = fleet(20)
    async with Parts().running() as parts:
        parts.source.publish(whole)
        await parts.served(whole)
        parts.source.publish(first(whole, 2))
        await eventually(lambda: parts.held == ["fleet-shrink"])
        parts.source.publish(first(whole, 1))
        await asyncio.sleep(0.01)
        (problem,) = parts.guarding.problems()
        assert problem.code is Code.HELD_BACK
        assert "xds-server accept fleet-shrink" in problem.sentence
        assert len(parts.out.value.services) == 20

        assert parts.guarding.accept("last-endpoint/user") == ()
        (released,) = parts.guarding.accept("fleet-shrink")
        assert released.id == "fleet-shrink"
        assert len(parts.out.value.services) == 1
        assert parts.held == []
    assert [one["hold"] for one in events(caplog, "guard.held")] == ["fleet-shrink"]
    assert [one["accepted"] for one in events(caplog, "guard.released")] == [True]


async def test_a_changed_policy_wakes_them():
    keep = Policy(defaults=ServicePolicy(last_endpoint=LastEndpoint.KEEP))
    async with Parts(policy=keep).running() as parts:
        parts.source.publish(catalog(user=8001, order=8002))
        await eventually(lambda: parts.out.value is parts.source.value)
        parts.source.publish(catalog(order=8002))
        await eventually(lambda: parts.held == ["last-endpoint/user"])
        parts.policy.publish(Policy())
        await eventually(lambda: parts.held == [])
        assert list(parts.out.value.services) == ["order"]


def on_a_clock_of_its_own(monkeypatch, main):
    """Run with the loop's clock as the one of the guards."""
    monkeypatch.setattr(Guarding, "_now", property(lambda self: asyncio.get_running_loop().time()))
    clock.run(main())


def test_holds_end_by_their_own_timers(monkeypatch):
    async def main():
        options = GuardOptions()
        hold = Policy(defaults=ServicePolicy(last_endpoint=LastEndpoint.HOLD))
        loop = asyncio.get_running_loop()
        async with Parts(options, policy=hold).running() as parts:
            parts.source.publish(catalog(user=8001, order=8002))
            await parts.out.get()
            parts.source.publish(catalog(order=8002))
            await asyncio.sleep(29)
            assert parts.held == ["last-endpoint/user"]
            await asyncio.sleep(2)
            assert parts.held == []
            assert parts.out.value.services["user"].departed
            await asyncio.sleep(598)
            assert "user" in parts.out.value.services
            await asyncio.sleep(3)
            assert "user" not in parts.out.value.services
            assert loop.time() < 640

    on_a_clock_of_its_own(monkeypatch, main)


def test_the_clock_of_a_hold_stands_while_a_source_is_not_live(monkeypatch):
    async def main():
        whole = fleet(20)
        async with Parts().running() as parts:
            parts.source.publish(whole)
            await parts.out.get()
            parts.source.publish(first(whole, 2))
            await asyncio.sleep(100)
            parts.standings.publish((standing(State.FROZEN),))
            await asyncio.sleep(1000)
            assert parts.held == ["fleet-shrink"]
            assert parts.guarding.holds[0].until is None
            parts.standings.publish((standing(State.LIVE),))
            await asyncio.sleep(190)
            assert parts.held == ["fleet-shrink"]
            await asyncio.sleep(20)
            assert parts.held == []

    on_a_clock_of_its_own(monkeypatch, main)


def test_what_an_earlier_run_served_goes_out_when_the_source_is_silent(monkeypatch):
    async def main():
        restored = fleet(20)
        async with Parts(restored=restored).running() as parts:
            await asyncio.sleep(4.9)
            assert parts.out.value is None
            await asyncio.sleep(0.2)
            assert parts.out.value is restored
            parts.source.publish(first(restored, 3))
            await asyncio.sleep(1)
            assert parts.held == ["fleet-shrink"]
            assert len(parts.out.value.services) == 20

    on_a_clock_of_its_own(monkeypatch, main)


async def test_a_source_that_is_there_goes_before_what_an_earlier_run_served(monkeypatch):
    monkeypatch.setattr(module, "_GRACE", 0.05)
    restored, now = fleet(3), fleet(4)
    async with Parts(restored=restored).running() as parts:
        parts.source.publish(now)
        await parts.served(now)
        await asyncio.sleep(0.1)
        assert parts.out.value is now


async def test_it_speaks_for_others_who_hold_something():
    class Other:
        holds = (Hold(guard="empty", subject="listener", sentence="s", release="r", since=1.0),)

        def accept(self, hold_id):
            return tuple(one for one in self.holds if hold_id in (None, one.id))

    parts = Parts()
    parts.guarding.add(Other())
    assert parts.held == ["empty/listener"]
    assert [one.id for one in parts.guarding.accept(None)] == ["empty/listener"]
    assert parts.guarding.accept("fleet-shrink") == ()


# --- the empty guard, where snapshots are published ------------------------------------------------------


async def test_no_empty_listeners_or_clusters_until_somebody_says_so():
    inputs = Inputs(catalog(user=8001))
    pipeline = inputs.pipeline
    task = asyncio.create_task(pipeline.run())
    try:
        full = await pipeline.snapshot.get()
        inputs.catalog.publish(Catalog.of("dc1", []))
        inputs.policy.publish(Policy(listeners=(), endpoints=LOOPBACK.endpoints))
        await eventually(lambda: [hold.id for hold in pipeline.holds] == ["empty/cluster", "empty/listener"])
        held = pipeline.snapshot.value
        for type_url, one in full.sets.items():
            assert held.sets[type_url].by_name == one.by_name
        assert pipeline.accept("fleet-shrink") == ()

        assert [hold.id for hold in pipeline.accept("empty/listener")] == ["empty/listener"]
        await eventually(lambda: [hold.id for hold in pipeline.holds] == ["empty/cluster"])
        pipeline.accept(None)
        await eventually(lambda: not any(one.by_name for one in pipeline.snapshot.value.sets.values()))
        assert pipeline.holds == ()
    finally:
        task.cancel()


async def test_it_ends_by_itself_when_there_is_something_again():
    inputs = Inputs(catalog(user=8001))
    pipeline = inputs.pipeline
    task = asyncio.create_task(pipeline.run())
    try:
        await pipeline.snapshot.get()
        inputs.catalog.publish(Catalog.of("dc1", []))
        await eventually(lambda: [hold.id for hold in pipeline.holds] == ["empty/cluster"])
        inputs.catalog.publish(catalog(order=8002))
        await eventually(lambda: pipeline.holds == ())
        assert {name for one in pipeline.snapshot.value.sets.values() for name in one.by_name} >= {"order"}
        assert all("user" not in one.by_name for one in pipeline.snapshot.value.sets.values())
    finally:
        task.cancel()


async def test_a_bug_leaves_the_last_good_catalog(monkeypatch):
    whole = fleet(3)
    parts = Parts()
    task = asyncio.create_task(parts.guarding.run())
    parts.source.publish(whole)
    await parts.served(whole)

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "weigh", broken)
    parts.source.publish(fleet(4))
    with pytest.raises(ExceptionGroup):
        await task
    assert parts.out.value is whole
