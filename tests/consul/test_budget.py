"""The budget itself, and a source with 1,000 watches whose Consul fails, restarts and is slow."""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.consul.fake_consul import LIST, FakeConsul, Reply, row
from tests.consul.source import QUICK, watched
from tests.rig.eventually import eventually
from xds_server.consul import breaker as breaker_module
from xds_server.consul.budget import Budget, Kind
from xds_server.consul.errors import Cut, Refused, Unreachable
from xds_server.telemetry import CONSUL_BREAKER, Event

PER_SECOND = 100.0


async def ask(budget: Budget, question: str, kind: Kind = Kind.SERVICE) -> float:
    async with budget.query(question, kind):
        return asyncio.get_running_loop().time()


@contextmanager
def ignored() -> Iterator[None]:
    with suppress(Unreachable, Refused):
        yield


async def fail(budget: Budget, question: str, error: Exception | None = None) -> None:
    with ignored():
        async with budget.query(question, Kind.SERVICE):
            raise error or Unreachable("no")


async def test_no_more_begin_in_any_second_than_twice_the_rate() -> None:
    budget = Budget(connections=50, per_second=PER_SECOND)
    began = sorted(await asyncio.gather(*[ask(budget, str(number)) for number in range(260)]))
    assert began[99] - began[0] < 0.5  # the first hundred at once
    assert began[-1] - began[0] >= 1.5
    for number, at in enumerate(began):
        assert bisect_left(began, at + 1) - number <= 2 * PER_SECOND + 1


async def test_connections_go_to_the_list_before_services_and_sweeps() -> None:
    budget = Budget(connections=1, per_second=1000)
    order: list[str] = []

    async def use(name: str, kind: Kind) -> None:
        async with budget.query(name, kind):
            order.append(name)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for name, kind in [("first", Kind.SWEEP), ("sweep", Kind.SWEEP), ("service", Kind.SERVICE)]:
            group.create_task(use(name, kind))
        group.create_task(use("wide", Kind.WIDE))
        group.create_task(use("list", Kind.LIST))
    assert order == ["first", "list", "wide", "service", "sweep"]


async def test_an_open_breaker_lets_one_probe_through_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "FIRST_PAUSE", 0.05)
    budget = Budget(connections=50, per_second=10_000)
    for number in range(20):
        await fail(budget, str(number))
    probes: list[float] = []
    inside = 0

    async def probe(question: str) -> None:
        nonlocal inside
        with ignored():
            async with budget.query(question, Kind.SERVICE) as permit:
                inside += 1
                assert permit.probe
                assert inside == 1
                probes.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.01)
                inside -= 1
                raise Unreachable("no")

    waiting = [asyncio.create_task(probe(str(number))) for number in range(40)]
    await eventually(lambda: len(probes), lambda count: count == 4)
    gaps = [late - early for early, late in pairwise(probes)]
    assert [round(gap, 1) for gap in gaps] == [0.1, 0.2, 0.4], gaps
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    # Nobody holds the turn of a probe any more, and the first success lets all through.
    async with asyncio.timeout(5):
        await asyncio.gather(*[ask(budget, str(number)) for number in range(100)])


async def test_refusals_and_polls_that_are_cut_do_not_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xds_server.consul.budget.CUT_SECONDS", 0.02)
    budget = Budget(connections=100, per_second=10_000)
    for number in range(60):
        await fail(budget, str(number), Refused("/", 403, "no"))

    async def cut(number: int) -> None:
        with ignored():
            async with budget.query(f"cut {number}", Kind.SERVICE):
                await asyncio.sleep(0.03)
                raise Cut("cut")

    await asyncio.gather(*[cut(number) for number in range(60)])
    async with budget.query("then", Kind.SERVICE) as permit:
        assert not permit.probe


async def test_rest_ends_early_when_consul_is_well_again() -> None:
    budget = Budget(connections=1, per_second=1000)
    resting = asyncio.create_task(budget.rest(60))
    await asyncio.sleep(0)
    budget.recovered()
    async with asyncio.timeout(1):
        await resting
    await budget.rest(0.01)


async def test_an_outage_costs_few_queries_and_the_way_back_is_spread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """300 services, each with a long poll: Consul answers 500 for a while, and then everybody comes back."""
    caplog.set_level(logging.INFO, "xds_server")
    loop = asyncio.get_running_loop()
    options = replace(QUICK, wait=60, requests_per_second=2 * PER_SECOND)
    async with FakeConsul() as fake:
        for number in range(300):
            fake.put(f"s{number:03}", row(f"s{number:03}"))
        async with watched(fake, options, connections=400) as seen:
            await seen.until(lambda _: True)
            await eventually(lambda: fake.open, lambda held: held == 301, within=20)
            paths = [LIST, *(f"/v1/health/service/s{number:03}" for number in range(300))]
            for path in paths:
                fake.always(path, Reply(status=500))
            fake.wake()
            began = loop.time()
            await eventually(CONSUL_BREAKER._value.get, within=20)
            await asyncio.sleep(0.5)  # what had begun before
            asked = len(fake.asked)
            await asyncio.sleep(2)
            # A probe now and then: 0.5 s, 1 s and 2 s after one another.
            assert len(fake.asked) - asked <= 5
            assert CONSUL_BREAKER._value.get() == 1
            times: list[float] = []
            count = len(fake.asked)
            for path in paths:
                fake.always(path, None)
            while (now := len(fake.asked)) < count + 301:
                times.extend([loop.time()] * (now - count - len(times)))
                assert loop.time() < began + 60
                await asyncio.sleep(0.01)
            for number, at in enumerate(times):
                assert bisect_left(times, at + 1) - number <= 4 * PER_SECOND
            # At the rate, without the burst that a start has.
            assert times[-1] - times[0] > 0.8 * 300 / (2 * PER_SECOND)
            assert CONSUL_BREAKER._value.get() == 0
    told = [record.getMessage() for record in caplog.records]
    assert told.count(Event.CONSUL_BREAKER_OPENED) == told.count(Event.CONSUL_BREAKER_CLOSED) == 1
