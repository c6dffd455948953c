import asyncio
import random
import time

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from tests.protocol.resources import service, snapshot
from xds_server.model.proxy import Proxy
from xds_server.model.types import TypeUrl
from xds_server.protocol import SotwMachine
from xds_server.runtime.fleet import Fleet, Session
from xds_server.runtime.interest import Interest


def test_a_name_is_in_use_as_long_as_any_stream_wants_it():
    interest = Interest()
    interest.change(["a", "b"], [])
    interest.change(["b"], [])
    assert interest.names == {"a", "b"}

    interest.change([], ["a", "b"])
    assert interest.names == {"b"}

    interest.change([], ["b"])
    assert interest.names == frozenset()


def test_names_count_for_the_service_they_are_made_of():
    interest = Interest()
    interest.change(["web@v1", "web@v2", "v2.api.default.dc1.internal.1234.consul"], [])
    interest.change([], ["web@v1"])
    assert interest.names == {"web", "v2.api", "api"}

    interest.change([], ["web@v2", "v2.api.default.dc1.internal.1234.consul"])
    assert interest.names == frozenset()


async def test_only_what_changes_the_services_in_use_wakes_a_reader():
    interest = Interest()
    seen: list[frozenset[str]] = []

    async def read() -> None:
        async for names in interest.values():
            seen.append(names)  # noqa: PERF401 - it never ends

    reading = asyncio.create_task(read())
    for gained, lost in [(["a"], []), (["a"], []), ([], ["a"]), (["b"], ["a"])]:
        await asyncio.sleep(0)
        interest.change(gained, lost)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()

    assert seen == [frozenset(), {"a"}, {"b"}]


def test_a_stream_costs_what_it_changes():
    """1,000 streams with 5,000 names, and then 10,000 small changes: each as cheap as its names are few."""
    interest = Interest()
    names = [f"service-{number}" for number in range(5000)]
    for _ in range(20):
        interest.change(names, [])
    started = time.process_time()
    for _ in range(10_000):
        interest.change(["new"], [])
        interest.change([], ["new"])
    few = time.process_time() - started
    started = time.process_time()
    for _ in range(20):
        interest.change(names, [])
        interest.change([], names)
    many = time.process_time() - started
    # 200,000 names against 20,000; were all names looked at each time, few would be 500 times many.
    assert few < many


def test_streams_that_want_the_same_are_gone_through_once(monkeypatch):
    changes = []
    interest = Interest()
    monkeypatch.setattr(interest, "change", lambda gained, lost: changes.append((gained, lost)))
    nothing, one, more = frozenset[str](), frozenset("ab"), frozenset("abc")
    for _ in range(3):
        interest.move(nothing, one)
    for _ in range(3):
        interest.move(one, more)
    for _ in range(3):
        interest.move(more, nothing)

    assert changes == [(one, nothing), (more, nothing), (nothing, one), (nothing, more)]


def test_whatever_streams_want_by_turns_is_what_is_in_use():
    chosen = random.Random(4)  # noqa: S311 - the same names each time
    interest = Interest()
    streams = [frozenset[str]()] * 4
    for _ in range(500):
        stream = chosen.randrange(len(streams))
        before, after = streams[stream], frozenset(chosen.choices("abcd", k=chosen.randrange(4)))
        interest.move(before, after)
        streams[stream] = after
        assert interest.names == frozenset().union(*streams)


def session() -> Session:
    machine = SotwMachine(snapshot(service("a")), "test")
    return Session(
        proxy=Proxy(id="n"), variant="sotw", peer="ipv4:127.0.0.1:1", since=1.0, machine=machine, node=b""
    )


def ask(session: Session, *names: str, type_url: TypeUrl = TypeUrl.ENDPOINTS) -> None:
    session.machine.receive(DiscoveryRequest(type_url=type_url, resource_names=names), 1.0)


def test_the_fleet_is_interested_in_the_endpoints_its_streams_want():
    fleet = Fleet()
    one, two = session(), session()
    for each in (one, two):
        fleet.enter(each)
        ask(each, "a", "b")
        fleet.heard(each)
    ask(one, "routes", type_url=TypeUrl.ROUTES)
    ask(one, type_url=TypeUrl.CLUSTER)
    fleet.heard(one)
    assert fleet.interest.names == {"a", "b"}

    ask(one, "b", "*")
    fleet.heard(one)
    fleet.leave(two)
    fleet.leave(two)
    assert fleet.interest.names == {"b"}

    ask(one, "b", "c")  # it ends before anybody looked
    fleet.leave(one)
    fleet.heard(one)
    assert fleet.interest.names == frozenset()
