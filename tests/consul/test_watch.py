"""The source against a Consul that answers by a script."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.consul.fake_consul import LIST, FakeConsul, Reply, health, row
from tests.consul.source import QUICK, Seen, ports, watched
from tests.rig.eventually import eventually
from xds_server.consul import belief as belief_module
from xds_server.consul import poll as poll_module
from xds_server.consul.watch import WatchOptions
from xds_server.model.problem import Code
from xds_server.telemetry import CONSUL_WATCHES, Event

__all__ = ["Seen", "ports"]


@pytest.fixture(autouse=True)
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_module, "backoff", lambda errors: 0.02)


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "xds_server")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "xds_server"]


async def test_changes_arrive_and_nothing_else_is_published() -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a", port=1))
        fake.put("b", row("b", port=1))
        async with watched(fake) as seen:
            first = await seen.get()
            assert (first.datacenter, list(first.services), first.problems) == ("dc1", ["a", "b"], ())
            fake.put("a", row("a", port=1), row("a", port=2))
            second = await seen.until(lambda catalog: ports(catalog, "a") == [1, 2])
            assert second.services["b"] is first.services["b"]
            fake.put("c", row("c", port=3))
            await seen.until(lambda catalog: ports(catalog, "c") == [3])
            fake.drop("a")
            last = await seen.until(lambda catalog: "a" not in catalog.services)
            assert list(last.services) == ["b", "c"]
            assert len(seen.published) == 4
            asked = []
            for _ in range(4):  # the last query of its watch may come in late
                fake.wake()
                await fake.until_asked(LIST, fake.count(LIST) + 1)
                asked.append(fake.count(health("a")))
            assert asked[1:] == [asked[1]] * 3
    assert fake.count(health("consul")) == 0


async def test_a_moving_index_without_a_change_publishes_nothing() -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a"))
        async with watched(fake) as seen:
            await seen.get()
            for turn in range(20):
                fake.services["a"][0]["Checks"][0]["Output"] = f"load {turn}"
                fake.wake()
                await fake.until_asked(health("a"), turn + 3)
            assert len(seen.published) == 1


async def test_the_index_goes_along_and_is_reset_by_errors() -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a"))
        rows = [row("a")]
        fake.script(
            health("a"),
            Reply(body=rows, headers={"X-Consul-Index": "7"}),
            Reply(body=rows, headers={"X-Consul-Index": "9"}),
            Reply(body=rows, headers={"X-Consul-Index": "5"}),  # backwards
            Reply(body=rows, headers={"X-Consul-Index": "0"}),
            Reply(body=rows, headers={"X-Consul-Index": "garbled"}),
            Reply(body=rows, headers={"X-Consul-Index": "8"}),
            Reply(status=500, body="No cluster leader", headers={"X-Consul-Index": "1"}),
            Reply(body=rows, headers={"X-Consul-Index": "8"}),
            Reply(body="[{]", headers={"X-Consul-Index": "9"}),
        )
        async with watched(fake):
            await fake.until_asked(health("a"), 10)
    asked = [asked.index for asked in fake.asked if asked.path == health("a")]
    assert asked[:10] == [0, 7, 9, 0, 1, 1, 8, 0, 8, 0]


async def test_a_storm_is_slowed_down_and_a_lone_change_is_not() -> None:
    options = WatchOptions(wait=5, burst=5, per_second=2)
    async with FakeConsul() as fake:
        fake.put("a", row("a", port=0))
        async with watched(fake, options) as seen:
            await seen.get()
            started = asyncio.get_running_loop().time()
            for port in range(1, 60):
                fake.put("a", row("a", port=port))
                await asyncio.sleep(0.01)
            await seen.until(lambda catalog: ports(catalog, "a") == [59])
            taken = asyncio.get_running_loop().time() - started
            assert fake.count(health("a")) <= 5 + 2 * taken + 1
            assert fake.count(LIST) <= 5 + 2 * taken + 1


# --- the first sync


async def test_a_broken_service_does_not_hold_the_first_catalog(events: Callable[[], list[str]]) -> None:
    async with FakeConsul() as fake:
        fake.put("good", row("good"))
        fake.put("bad", row("bad"))
        fake.put("zz/../good", row("good"))
        fake.always(health("bad"), Reply(status=400, body="no"))
        async with watched(fake, WatchOptions(wait=5, sync_deadline=60)) as seen:
            catalog = await seen.until(lambda _: True)
            assert list(catalog.services) == ["good"]
            assert [problem.code for problem in catalog.problems] == [
                Code.SERVICE_NAME,
                Code.SERVICE_UNREADABLE,
            ]
            fake.always(health("bad"), None)
            catalog = await seen.until(lambda catalog: "bad" in catalog.services)
            assert len(catalog.problems) == 1
    assert events().count(Event.CONSUL_QUERY_FAILED) == events().count(Event.CONSUL_QUERY_RECOVERED) == 1
    assert not any("zz" in asked.path for asked in fake.asked)


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(status=500)], ids=["silent", "500"])
async def test_after_the_deadline_the_catalog_goes_without(
    reply: Reply, events: Callable[[], list[str]]
) -> None:
    async with FakeConsul() as fake:
        fake.put("good", row("good"))
        fake.put("slow", row("slow"))
        fake.always(health("slow"), reply)
        async with watched(fake) as seen:
            started = asyncio.get_running_loop().time()
            catalog = await seen.until(lambda _: True)
            assert asyncio.get_running_loop().time() - started > QUICK.sync_deadline * 0.9
            assert list(catalog.services) == ["good"]
            assert [problem.source for problem in catalog.problems] == ['consul service "slow"']
    assert Event.CONSUL_SYNC_DEADLINE in events()


async def test_a_slow_consul_is_waited_for_while_services_come_in() -> None:
    async with FakeConsul() as fake:
        names = [f"s{number}" for number in range(6)]
        for name in names:
            fake.put(name, row(name))
            fake.script(health(name), *[Reply(status=500)] * 100)
        async with watched(fake) as seen:
            for name in names:  # each a little sooner than the deadline, all together far later
                await asyncio.sleep(QUICK.sync_deadline * 0.6)
                assert seen.published == []
                fake._scripts[health(name)].clear()
            assert list((await seen.until(lambda _: True)).services) == names


async def test_nothing_is_published_while_no_service_can_be_read() -> None:
    async with FakeConsul() as fake:
        for name in ("a", "b"):
            fake.put(name, row(name))
            fake.always(health(name), Reply(status=403, body="ACL not found"))
        async with watched(fake) as seen:
            await fake.until_asked(health("a"), 20)  # 20 x 0.02 s: past the deadline
            await fake.until_asked(health("b"), 20)
            assert seen.published == []
            fake.always(health("a"), None)
            assert list((await seen.until(lambda _: True)).services) == ["a"]


async def test_a_consul_with_nothing_in_it_is_a_catalog() -> None:
    async with FakeConsul() as fake, watched(fake) as seen:
        assert dict((await seen.until(lambda _: True)).services) == {}


# --- emptiness needs evidence


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body={}),
        Reply(body={"a": []}),
        Reply(body=None),
        Reply(body={"consul": []}, headers={"X-Consul-Index": "7", "X-Consul-KnownLeader": "false"}),
        Reply(
            body={"consul": []},
            headers={"X-Consul-Index": "7", "X-Consul-Results-Filtered-By-ACLs": "true"},
        ),
        Reply(status=403, body="ACL not found"),
        Reply(status=500, body="No cluster leader"),
        Reply(body='{"consul":[]'),
        Reply(cut_after=0),
        Reply(body='{"consul":[]}', cut_after=0),
    ],
    ids=[
        "{}",
        "no sentinel",
        "null",
        "no leader",
        "filtered",
        "403",
        "500",
        "truncated",
        "cut",
        "cut in body",
    ],
)
async def test_a_list_that_proves_nothing_removes_nothing(
    reply: Reply, events: Callable[[], list[str]]
) -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a"))
        fake.put("b", row("b"))
        async with watched(fake) as seen:
            await seen.until(lambda _: True)
            assert seen.live
            asked = fake.count(LIST)
            fake.always(LIST, reply)
            fake.wake()
            await fake.until_asked(LIST, asked + 5)
            await eventually(lambda: not seen.live)
            assert len(seen.published) == 1
            fake.always(LIST, None)
            fake.drop("b")
            await seen.until(lambda catalog: list(catalog.services) == ["a"])
    told = [event for event in events() if event.startswith("consul.")]
    assert len(told) == 3, told  # connected, what is wrong, connected again: states, not tries


async def test_the_first_list_is_doubted_as_well() -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a"))
        fake.always(LIST, Reply(body={"a": []}))
        async with watched(fake) as seen:
            await fake.until_asked(LIST, 20)
            assert seen.published == []
            fake.always(LIST, None)
            assert list((await seen.until(lambda _: True)).services) == ["a"]


LEADERLESS = {"X-Consul-Index": "7", "X-Consul-KnownLeader": "false"}
SIEVED = {"X-Consul-Index": "7", "X-Consul-Results-Filtered-By-ACLs": "true"}


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(body=[]), True),
        (Reply(body=None), True),
        (Reply(body=[row("a", port=1)], headers=LEADERLESS), True),
        (Reply(body=[row("a", port=1)], headers=SIEVED), True),
        (Reply(body=[None, 1]), True),
        (Reply(status=403), True),
        (Reply(status=404, body="<html>"), True),
        (Reply(status=500), False),
        (Reply(status=429), False),
        (Reply(body="[", cut_after=0), False),
    ],
    ids=["[]", "null", "no leader", "filtered", "garbage rows", "403", "404", "500", "429", "cut"],
)
async def test_a_service_that_cannot_be_read_keeps_its_instances(reply: Reply, told: bool) -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a", port=1), row("a", port=2))
        fake.put("b", row("b"))
        async with watched(fake) as seen:
            first = await seen.until(lambda _: True)
            asked = fake.count(health("a"))
            fake.always(health("a"), reply)
            fake.wake()
            await fake.until_asked(health("a"), asked + 5)
            assert seen.published[-1].services["a"] is first.services["a"]
            assert [problem.code for problem in seen.published[-1].problems] == [
                Code.SERVICE_UNREADABLE
            ] * told
            assert len(seen.published) == 1 + told
            fake.always(health("a"), None)
            fake.put("a", row("a", port=2))
            catalog = await seen.until(lambda catalog: ports(catalog, "a") == [2])
            assert catalog.problems == ()


async def test_without_a_leader_what_only_adds_is_believed() -> None:
    async with FakeConsul() as fake:
        fake.headers = {"X-Consul-KnownLeader": "false"}
        fake.put("a", row("a", port=1))
        async with watched(fake) as seen:
            await seen.until(lambda _: True)
            fake.put("a", row("a", port=1), row("a", port=2))
            await seen.until(lambda catalog: ports(catalog, "a") == [1, 2])
            fake.put("b", row("b"))
            await seen.until(lambda catalog: "b" in catalog.services)


async def test_a_row_of_another_service_is_a_problem() -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a", port=1), row("payments", port=2))
        async with watched(fake) as seen:
            catalog = await seen.until(lambda _: True)
            assert ports(catalog, "a") == [1]
            assert [problem.code for problem in catalog.problems] == [Code.SERVICE_ROW]


# --- connections


async def test_a_cut_long_poll_is_no_failure_and_its_wait_gets_shorter(
    monkeypatch: pytest.MonkeyPatch, events: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(poll_module, "CUT_SECONDS", 0.05)
    async with FakeConsul() as fake:
        fake.put("a", row("a"))
        # aiohttp tries a kept connection that was cut once more by itself.
        for _ in range(3):
            fake.script(health("a"), Reply(body=[row("a")]), *[Reply(cut_after=0.2)] * 2)
        async with watched(fake) as seen:
            await fake.until_asked(health("a"), 11)
            assert len(seen.published) == 1
    waits = [
        int(asked.query["wait"].removesuffix("ms"))
        for asked in fake.asked
        if asked.path == health("a") and asked.index
    ]
    assert waits[0] == 5000
    assert waits[-1] < 200
    assert [asked.index for asked in fake.asked if asked.path == health("a")][:7] == [0, 7, 7, 0, 7, 7, 0]
    assert Event.CONSUL_QUERY_FAILED not in events()


async def test_open_long_polls_are_counted() -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a"))
        async with watched(fake):
            await fake.until_asked(LIST, 2)
            await fake.until_asked(health("a"), 2)
            assert CONSUL_WATCHES._value.get() == 2
    assert CONSUL_WATCHES._value.get() == 0


async def test_consul_goes_and_comes_back(events: Callable[[], list[str]]) -> None:
    async with FakeConsul() as fake:
        fake.put("a", row("a", port=1))
        async with watched(fake) as seen:
            await seen.until(lambda _: True)
            await fake.__aexit__(None, None, None)
            while Event.CONSUL_UNREACHABLE not in events():  # noqa: ASYNC110 - a fact of the log
                await asyncio.sleep(0.01)
            await fake.__aenter__()
            fake.put("a", row("a", port=2))
            await seen.until(lambda catalog: ports(catalog, "a") == [2])
            assert len(seen.published) == 2
    told = [event for event in events() if event.startswith("consul.")]
    assert told[:2] == [Event.CONSUL_CONNECTED, Event.CONSUL_UNREACHABLE]
    assert len(told) <= 3


async def test_a_bug_in_one_loop_is_logged_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, events: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    real = belief_module.decode_service
    failures = 2

    def buggy(name: str, body: bytes, datacenter: str) -> Any:
        nonlocal failures
        if name == "a" and failures:
            failures -= 1
            raise ZeroDivisionError
        return real(name, body, datacenter)

    monkeypatch.setattr(belief_module, "decode_service", buggy)
    async with FakeConsul() as fake:
        fake.put("a", row("a"))
        fake.put("b", row("b"))
        async with watched(fake) as seen:
            await seen.until(lambda catalog: list(catalog.services) == ["a", "b"])
    assert events().count(Event.TASK_FAILED) == 2
    assert any(record.exc_info for record in caplog.records)
