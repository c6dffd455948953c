"""More services than connections: some are followed closely, the others by what the wide queries tell."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from tests.consul.fake_consul import ANY, CRITICAL, LIST, NODES, WARNING, FakeConsul, Reply, health, row
from tests.consul.source import QUICK, Seen, ports, watched
from tests.rig.eventually import eventually
from xds_server.consul import census, due_reads, poll, services
from xds_server.consul.client import ConsulClient
from xds_server.model.catalog import Catalog
from xds_server.runtime.interest import Interest
from xds_server.telemetry import CONSUL_CONNECTIONS, CONSUL_SERVICES, Event

CONNECTIONS = 14  # 14 - the list - 3 wide polls - 2 reads: 8 services can be close
CLOSE = 8
# The first catalog waits for all, however slow the machine is.
PATIENT = replace(QUICK, sync_deadline=30)
NAMES = [f"s{number:02}" for number in range(40)]
CHECK = [{"CheckID": "alive", "Status": "passing"}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "backoff", lambda errors: 0.02)
    monkeypatch.setattr(due_reads, "backoff", lambda errors: 0.02)
    monkeypatch.setattr(census, "backoff", lambda errors: 0.02)


@pytest.fixture
async def fake() -> Any:
    async with FakeConsul() as fake:
        for name in NAMES:
            fake.put(name, instance(name))
        yield fake


def instance(name: str, port: int = 1, **more: Any) -> dict[str, Any]:
    one = row(name, port=port, node=f"node-{name}", **more)
    return one | {"Checks": [check | {"ServiceID": one["Service"]["ID"]} for check in CHECK]}


def statuses(catalog: Catalog, name: str) -> set[str]:
    return {status for one in catalog.services[name].instances for status in one.statuses}


async def settled(fake: FakeConsul, seen: Seen) -> Catalog:
    """Wait for the first catalog, and until each wide question has its first answer."""
    catalog = await seen.until(lambda _: True)
    for path in (LIST, CRITICAL, WARNING, NODES):
        await fake.until_asked(path, 2)
    await fake.until_asked(ANY, 1)
    await eventually(lambda: fake.open, lambda held: held <= CLOSE + 4)
    return catalog


async def test_every_service_is_read_and_few_connections_are_held(
    fake: FakeConsul, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "xds_server")
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        catalog = await settled(fake, seen)
        assert list(catalog.services) == NAMES
        assert [fake.count(health(name)) for name in NAMES] == [1] * 40
        assert fake.open == 4
        assert CONSUL_SERVICES.labels(followed="wide")._value.get() == 40
    assert fake.most_open <= CONNECTIONS
    assert [record.getMessage() for record in caplog.records].count(Event.CONSUL_WATCHES_SHARED) == 1
    assert CONSUL_SERVICES.labels(followed="wide")._value.get() == 0


@pytest.mark.parametrize("status", ["critical", "warning"])
async def test_a_status_that_changes_has_its_service_read_and_no_other(fake: FakeConsul, status: str) -> None:
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        fake.set_status("s07", status, check="alive")
        await seen.until(lambda catalog: statuses(catalog, "s07") == {status})
        fake.set_status("s07", "passing", check="alive")
        await seen.until(lambda catalog: statuses(catalog, "s07") == {"passing"})
        assert [fake.count(health(name)) for name in NAMES if name != "s07"] == [1] * 39
        assert fake.count(ANY) == 1


@pytest.fixture
def shared(fake: FakeConsul) -> tuple[str, str]:
    """Give the names of two services with an instance on one node."""
    for name in ("s01", "s02"):
        fake.put(name, {**instance(name), "Node": {"Node": "shared", "Address": "10.0.0.1"}})
    return "s01", "s02"


async def test_a_node_that_fails_has_its_services_read(fake: FakeConsul, shared: tuple[str, str]) -> None:
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        fake.set_status("s01", "critical")
        fake.services["s02"][0]["Checks"] = fake.services["s01"][0]["Checks"]
        await seen.until(lambda catalog: all("critical" in statuses(catalog, name) for name in shared))
        assert fake.count(health("s03")) == 1


async def test_a_node_that_moves_has_its_services_read(fake: FakeConsul, shared: tuple[str, str]) -> None:
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        for name in shared:
            fake.services[name][0]["Node"] = {"Node": "shared", "Address": "10.0.0.2"}
        fake.wake(NODES)
        for name in shared:
            await seen.until(
                lambda catalog, name=name: catalog.services[name].instances[0].address == "10.0.0.2"
            )
        assert fake.count(health("s03")) == 1


async def test_registrations_are_seen(fake: FakeConsul) -> None:
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        fake.put("s05", instance("s05", 1), instance("s05", 2))  # another check: the census tells
        await seen.until(lambda catalog: ports(catalog, "s05") == [1, 2])
        fake.put("s06", instance("s06", Tags=["new"]))  # the list tells
        await seen.until(lambda catalog: catalog.services["s06"].instances[0].tags == ("new",))
        fake.put("s99", instance("s99"))
        await seen.until(lambda catalog: "s99" in catalog.services)
        fake.drop("s08")
        await seen.until(lambda catalog: "s08" not in catalog.services)
        assert fake.count(health("s20")) == 1


async def test_what_no_wide_query_tells_is_found_by_a_sweep(fake: FakeConsul) -> None:
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        fake.put("s05", instance("s05", Weights={"Passing": 7, "Warning": 1}))
        await seen.until(lambda catalog: catalog.services["s05"].instances[0].weights.passing == 7)


async def test_a_registration_of_a_service_that_is_close_needs_no_sweep(fake: FakeConsul) -> None:
    interest = Interest()
    interest.change(["s05"], [])
    async with watched(fake, PATIENT, interest, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        await fake.until_asked(health("s05"), 2)
        fake.put("s05", instance("s05", Weights={"Passing": 7, "Warning": 1}))
        await seen.until(lambda catalog: catalog.services["s05"].instances[0].weights.passing == 7)
        await fake.until_asked(ANY, 2)
        await fake.until_asked(LIST, 3)
        await asyncio.sleep(0.1)  # a sweep would have begun
        assert [fake.count(health(name)) for name in NAMES if name != "s05"] == [1] * 39


async def test_silent_changes_are_found_in_turn(fake: FakeConsul) -> None:
    async with watched(fake, replace(PATIENT, sweep=1.0), connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        fake.services["s05"] = [instance("s05", 9)]
        fake.wake(health("s05"))
        await seen.until(lambda catalog: ports(catalog, "s05") == [9])
        await eventually(lambda: min(fake.count(health(name)) for name in NAMES), lambda least: least >= 3)


async def test_what_proxies_use_is_followed_closely(fake: FakeConsul) -> None:
    interest = Interest()
    async with watched(fake, replace(PATIENT, wait=0.2), interest, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        for number in range(CLOSE):  # they changed, so they are close
            fake.set_status(NAMES[number], "critical", check="alive")
            await seen.until(lambda catalog, name=NAMES[number]: statuses(catalog, name) == {"critical"})
        used = NAMES[20:24]
        interest.change([*used, "no service"], [])
        for name in used:
            await fake.until_asked(health(name), 4)
        # They are told by their own polls only.
        for name in used:
            fake.services[name] = [instance(name, 5)]
            fake.wake(health(name))
            await seen.until(lambda catalog, name=name: ports(catalog, name) == [5])
        assert fake.most_open <= CONNECTIONS
        interest.change([], used)
        interest.change(NAMES[30:38], [])
        for name in NAMES[30:38]:
            await fake.until_asked(health(name), 4)
        assert fake.most_open <= CONNECTIONS
        assert CONSUL_SERVICES.labels(followed="close")._value.get() == CLOSE
        assert CONSUL_SERVICES.labels(followed="wide")._value.get() == len(NAMES) - CLOSE


async def test_growing_beyond_the_connections_and_shrinking_again_loses_nothing(fake: FakeConsul) -> None:
    for name in NAMES[10:]:
        fake.drop(name)
    async with watched(fake, replace(PATIENT, wait=0.5), connections=CONNECTIONS) as seen:
        await seen.until(lambda _: True)
        await eventually(lambda: fake.open, lambda held: held == 11)
        for name in NAMES[10:]:
            fake.put(name, instance(name))
        await seen.until(lambda catalog: list(catalog.services) == NAMES)
        for name in NAMES:
            fake.put(name, instance(name, 2), instance(name, 3))
        await seen.until(lambda catalog: all(ports(catalog, name) == [2, 3] for name in NAMES))
        for name in NAMES[10:]:
            fake.drop(name)
        await seen.until(lambda catalog: list(catalog.services) == NAMES[:10])
        await eventually(lambda: fake.open, lambda held: held == 11)
        fake.put("s03", instance("s03", 4))
        await seen.until(lambda catalog: ports(catalog, "s03") == [4])


async def test_with_more_capacity_all_are_close(fake: FakeConsul, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP/2 was agreed on, or an agent without it has taken over."""
    capacity = CONNECTIONS
    monkeypatch.setattr(ConsulClient, "capacity", property(lambda _: capacity))
    async with watched(fake, replace(PATIENT, wait=1.0), connections=100) as seen:
        await settled(fake, seen)
        for capacity, held in ((1000, 41), (CONNECTIONS, CLOSE + 4)):
            fake.put("s01", instance("s01"))
            await eventually(lambda: fake.open, lambda count, held=held: count == held)
            assert CONSUL_CONNECTIONS._value.get() == capacity
    assert CONSUL_CONNECTIONS._value.get() == 0


@pytest.mark.parametrize("tags", [7, [7], {"a": 1}, "x"])
async def test_tags_that_cannot_be_read_take_nothing_away(fake: FakeConsul, tags: Any) -> None:
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await settled(fake, seen)
        body = {"consul": [], **dict.fromkeys(NAMES, tags)}
        fake.always(LIST, Reply(body=body, headers={"X-Consul-Index": "900"}))
        fake.wake()
        await fake.until_asked(health("s39"), 2)
        assert list(seen.published[-1].services) == NAMES


@pytest.mark.parametrize("path", [CRITICAL, ANY])
@pytest.mark.parametrize(
    "reply", [Reply(status=403), Reply(body="[{"), Reply(body={"a": 1}), Reply(body=[7])]
)
async def test_without_a_wide_answer_all_services_are_read(
    fake: FakeConsul, path: str, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "xds_server")
    fake.always(path, reply)
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await seen.until(lambda _: True)
        fake.set_status("s05", "critical", check="alive")
        fake.put("s06", instance("s06", 2))
        await seen.until(
            lambda catalog: statuses(catalog, "s05") == {"critical"} and ports(catalog, "s06") == [2]
        )
        fake.always(path, None)
        told = [record.getMessage() for record in caplog.records]
        assert told.count(Event.CONSUL_WIDE_FAILED) == 1
        await eventually(
            lambda: [record.getMessage() for record in caplog.records],
            lambda told: told.count(Event.CONSUL_WIDE_RECOVERED) == 1,
            within=20,
        )


async def test_a_wide_answer_takes_nothing_away(fake: FakeConsul) -> None:
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        first = await settled(fake, seen)
        for path in (ANY, CRITICAL, WARNING, NODES):
            fake.always(path, Reply(body=[], headers={"X-Consul-Index": "9000"}))
        fake.wake()
        await fake.until_asked(ANY, 2)
        await fake.until_asked(health("s39"), 2)  # so it was read again
        assert seen.published == [first]


async def test_a_bad_service_costs_itself_only(fake: FakeConsul, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xds_server")
    fake.always(health("s05"), Reply(status=400, body="no"))
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        catalog = await seen.until(lambda _: True)
        assert len(catalog.services) == 39
        assert [problem.source for problem in catalog.problems] == ['consul service "s05"']
        fake.set_status("s06", "critical", check="alive")
        await seen.until(lambda catalog: statuses(catalog, "s06") == {"critical"})
        fake.always(health("s05"), None)
        catalog = await seen.until(lambda catalog: len(catalog.services) == 40)
        assert catalog.problems == ()


async def test_a_bug_in_the_reading_of_one_service_costs_the_others_nothing(
    fake: FakeConsul, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = services.Belief.take_service
    failures = 2

    def buggy(belief: Any, name: str, *rest: Any) -> None:
        nonlocal failures
        if name == "s05" and failures:
            failures -= 1
            raise ZeroDivisionError
        real(belief, name, *rest)

    monkeypatch.setattr(services.Belief, "take_service", buggy)
    async with watched(fake, PATIENT, connections=CONNECTIONS) as seen:
        await seen.until(lambda catalog: len(catalog.services) == 40)
    assert not failures
