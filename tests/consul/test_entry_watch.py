"""The watch of config entries against a Consul that answers by a script."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.consul import source
from tests.consul.fake_consul import FakeConsul, Reply, health, row
from tests.consul.recorded import recorded, recorded_body
from tests.rig.eventually import eventually
from xds_server.consul import due_reads, entry_watch
from xds_server.consul import poll as poll_module
from xds_server.consul.asking import Asking
from xds_server.consul.budget import Budget
from xds_server.consul.client import ConsulAddress, ConsulClient
from xds_server.consul.entries import Kind
from xds_server.consul.entry_watch import EntryWatch
from xds_server.consul.options import WatchOptions
from xds_server.model.entries import NO_ENTRIES, ConfigEntries
from xds_server.model.problem import Code

CHAIN = "/v1/discovery-chain/web"
SENTINEL = "/v1/catalog/service/consul"
QUICK = WatchOptions(wait=5, burst=1000, per_second=1000)


def config(kind: Kind) -> str:
    return f"/v1/config/{kind}"


def entry(kind: Kind, name: str = "web", **fields: Any) -> dict[str, Any]:
    return {"Kind": str(kind), "Name": name, **fields}


class FakeEntries(FakeConsul):
    """A Consul that has config entries as well."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, list[dict[str, Any]]] = {}

    def _body(self, path: str) -> Any:
        return self.entries.get(path, []) if path.startswith("/v1/config/") else super()._body(path)


def tell(fake: FakeEntries, kind: Kind, *entries: dict[str, Any]) -> None:
    """Let Consul have these entries of a kind, and wake who waits for it."""
    fake.entries[config(kind)] = list(entries)
    fake.wake(config(kind))


def chain(fake: FakeEntries, protocol: str = "http") -> None:
    body = recorded_body("chain-1.8")
    body["Chain"]["Protocol"] = protocol
    fake.always(CHAIN, Reply(body=body))


class Seen:
    """A watch, and every value it had when it said that it may have changed."""

    def __init__(self, asking: Asking) -> None:
        self.watch = EntryWatch(asking, asyncio.get_running_loop().time, self._changed)
        self.values: list[ConfigEntries] = []

    def _changed(self) -> None:
        if not self.values or self.values[-1] is not self.watch.value:
            self.values.append(self.watch.value)

    @property
    def value(self) -> ConfigEntries:
        return self.watch.value

    async def until(self, fact: Callable[[ConfigEntries], Any]) -> ConfigEntries:
        return await eventually(lambda: self.watch.value, fact)

    async def settled(self) -> ConfigEntries:
        await eventually(lambda: not self.watch.unsettled)
        return self.watch.value

    def codes(self) -> list[Code]:
        return [problem.code for problem in self.value.problems]


@asynccontextmanager
async def watched(
    fake: FakeEntries, *, connections: int = 100, options: WatchOptions = QUICK
) -> AsyncIterator[Seen]:
    client = ConsulClient(ConsulAddress(url=fake.address), connections=connections)
    async with client:
        asking = Asking(client=client, budget=Budget(connections=connections), options=options)
        seen = Seen(asking)
        ready = asyncio.Event()

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                seen.watch.start(group)
                ready.set()

        task = asyncio.create_task(run())
        await ready.wait()
        try:
            yield seen
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled(), task.exception()


@pytest.fixture(autouse=True)
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_module, "backoff", lambda errors: 0.02)
    monkeypatch.setattr(due_reads, "backoff", lambda errors: 0.02)


async def test_every_kind_is_polled_once_and_a_chain_read_only_when_an_entry_changes() -> None:
    async with FakeEntries() as fake:
        tell(fake, Kind.SERVICE_SPLITTER, entry(Kind.SERVICE_SPLITTER))
        tell(fake, Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, Protocol="http"))
        chain(fake)
        async with watched(fake) as seen:
            first = await seen.settled()
            assert list(first.chains) == ["web"]
            assert list(first.overrides) == ["web"]
            await eventually(lambda: fake.open == len(Kind))
            asked = fake.count(CHAIN)
            # The index moves, the entries do not.
            for kind in Kind:
                fake.wake(config(kind))
                await fake.until_asked(config(kind), 3)
            assert fake.count(CHAIN) == asked
            assert seen.value is first
            chain(fake, "grpc")
            tell(fake, Kind.SERVICE_ROUTER, entry(Kind.SERVICE_ROUTER))
            after = await seen.until(lambda value: value.chains["web"].protocol == "grpc")
            assert after.overrides["web"] is first.overrides["web"]
            tell(fake, Kind.SERVICE_ROUTER)
            tell(fake, Kind.SERVICE_SPLITTER)
            await seen.until(lambda value: not value.chains)


async def test_a_storm_of_changes_reads_a_chain_once_more_than_it_takes() -> None:
    async with FakeEntries() as fake:
        tell(fake, Kind.SERVICE_RESOLVER, entry(Kind.SERVICE_RESOLVER))
        chain(fake)
        async with watched(fake) as seen:
            await seen.settled()
            asked = fake.count(CHAIN)
            fake.script(CHAIN, Reply(hang=True))
            tell(fake, Kind.SERVICE_RESOLVER, entry(Kind.SERVICE_RESOLVER, ConnectTimeout="1s"))
            await fake.until_asked(CHAIN, asked + 1)
            for turn in range(20):
                before = fake.count(config(Kind.SERVICE_RESOLVER))
                tell(fake, Kind.SERVICE_RESOLVER, entry(Kind.SERVICE_RESOLVER, ConnectTimeout=f"{turn}ms"))
                await fake.until_asked(config(Kind.SERVICE_RESOLVER), before + 1)
            assert fake.count(CHAIN) == asked + 1


async def test_a_kind_that_is_refused_costs_itself_only() -> None:
    async with FakeEntries() as fake:
        tell(fake, Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, Protocol="http"))
        fake.always(config(Kind.INGRESS_GATEWAY), Reply(status=403, body="Permission denied"))
        async with watched(fake) as seen:
            value = await seen.settled()
            assert list(value.overrides) == ["web"]
            (problem,) = value.problems
            assert problem.code is Code.CONFIG_UNREADABLE
            assert problem.source == "consul config ingress-gateway"
            assert "403" in problem.sentence
            fake.always(config(Kind.INGRESS_GATEWAY), None)
            await seen.until(lambda value: not value.problems)


@pytest.mark.parametrize("status", [400, 500])
async def test_a_kind_that_consul_is_too_old_for_is_given_up_at_once(status: int) -> None:
    async with FakeEntries() as fake:
        path = config(Kind.TERMINATING_GATEWAY)
        fake.always(path, Reply(status=status, body="invalid config entry kind: terminating-gateway"))
        async with watched(fake) as seen:
            value = await seen.settled()
            (problem,) = value.problems
            assert "does not know the kind" in problem.sentence
            await asyncio.sleep(0.2)
            assert fake.count(path) == 1


async def test_a_kind_that_cannot_be_read_is_waited_for_until_it_is_given_up() -> None:
    async with FakeEntries() as fake:
        fake.always(config(Kind.SERVICE_ROUTER), Reply(status=500, body="No cluster leader"))
        tell(fake, Kind.SERVICE_SPLITTER, entry(Kind.SERVICE_SPLITTER))
        fake.always(CHAIN, Reply(status=500, body="No cluster leader"))
        async with watched(fake) as seen:
            await fake.until_asked(config(Kind.SERVICE_ROUTER), 5)
            await fake.until_asked(CHAIN, 5)
            assert seen.watch.unsettled == ("service-router", "discovery chain web")
            assert seen.value.problems == ()
            seen.watch.give_up("It took too long.")
            assert seen.watch.unsettled == ()
            assert seen.codes() == [Code.CONFIG_UNREADABLE] * 2
            chain(fake)
            fake.always(config(Kind.SERVICE_ROUTER), None)
            await seen.until(lambda value: value.chains and not value.problems)


async def test_the_last_good_entries_stay_while_consul_fails() -> None:
    async with FakeEntries() as fake:
        tell(fake, Kind.SERVICE_SPLITTER, entry(Kind.SERVICE_SPLITTER))
        chain(fake)
        async with watched(fake) as seen:
            first = await seen.settled()
            for path in (config(Kind.SERVICE_SPLITTER), CHAIN):
                fake.always(path, Reply(status=500, body="No cluster leader"))
            fake.wake()
            asked = fake.count(config(Kind.SERVICE_SPLITTER))
            await fake.until_asked(config(Kind.SERVICE_SPLITTER), asked + 5)
            assert seen.value is first
            # A lie about the chain alone does not take it away either.
            fake.always(CHAIN, Reply(body=b"garbage"))
            fake.always(config(Kind.SERVICE_SPLITTER), None)
            tell(fake, Kind.SERVICE_SPLITTER, entry(Kind.SERVICE_SPLITTER, Splits=[]))
            await seen.until(lambda value: value.problems)
            assert seen.value.chains["web"] is first.chains["web"]
            assert seen.codes() == [Code.CONFIG_UNREADABLE]


async def test_a_removal_needs_evidence() -> None:
    async with FakeEntries() as fake:
        tell(
            fake,
            Kind.SERVICE_DEFAULTS,
            *(entry(Kind.SERVICE_DEFAULTS, name, Protocol="http") for name in "ab"),
        )
        async with watched(fake) as seen:
            await seen.settled()
            # 1.11 and newer say that ACLs filtered; what the answer adds is believed.
            fake.headers["X-Consul-Results-Filtered-By-ACLs"] = "true"
            tell(fake, Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, "c", Protocol="grpc"))
            await seen.until(lambda value: list(value.overrides) == ["a", "b", "c"] and value.problems)
            # Older ones do not, but then the token does not see the service `consul` either.
            fake.headers.clear()
            rows, fake.services["consul"] = fake.services["consul"], []
            tell(fake, Kind.SERVICE_DEFAULTS)
            asked = fake.count(SENTINEL)
            await fake.until_asked(SENTINEL, asked + 3)
            assert list(seen.value.overrides) == ["a", "b", "c"]
            assert seen.codes() == [Code.CONFIG_UNREADABLE]
            fake.services["consul"] = rows
            tell(fake, Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, "c", Protocol="grpc"))
            await seen.until(lambda value: list(value.overrides) == ["c"])
            assert seen.value.problems == ()


async def test_with_few_connections_the_kinds_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_watch, "_ROTATION", 0.7)
    async with FakeEntries() as fake, watched(fake, connections=10) as seen:
        await seen.settled()
        fake.most_open = 0
        tell(fake, Kind.PROXY_DEFAULTS, entry(Kind.PROXY_DEFAULTS, "global", Config={"protocol": "http"}))
        await eventually(lambda: seen.value, lambda value: value.defaults, within=20)
        assert fake.most_open <= 2  # a poll, and one that has just ended


async def test_only_the_chains_that_a_change_may_concern_are_read() -> None:
    async with FakeEntries() as fake:
        names = ("web", "old", "older", "other")
        for name in names:
            fake.always(f"/v1/discovery-chain/{name}", Reply(body=recorded("chain-1.8")))
        redirects = [
            entry(Kind.SERVICE_RESOLVER, "old", Redirect={"Service": "web"}),
            entry(Kind.SERVICE_RESOLVER, "older", Failover={"*": {"Targets": [{"Service": "old"}]}}),
            entry(Kind.SERVICE_RESOLVER, "other"),
        ]
        tell(fake, Kind.SERVICE_RESOLVER, *redirects)
        tell(fake, Kind.SERVICE_ROUTER, entry(Kind.SERVICE_ROUTER, "web"))
        async with watched(fake) as seen:
            await seen.settled()

            async def read_by(kind: Kind, *entries: dict[str, Any]) -> list[str]:
                before = [fake.count(f"/v1/discovery-chain/{name}") for name in names]
                asked = fake.count(config(kind))
                tell(fake, kind, *entries)
                await fake.until_asked(config(kind), asked + 1)
                await asyncio.sleep(0.1)
                after = [fake.count(f"/v1/discovery-chain/{name}") for name in names]
                return [name for name, old, new in zip(names, before, after, strict=True) if new > old]

            changed = entry(Kind.SERVICE_ROUTER, "web", Routes=[])
            assert await read_by(Kind.SERVICE_ROUTER, changed) == ["web", "old", "older"]
            defaults = entry(Kind.SERVICE_DEFAULTS, "old", Protocol="http")
            assert await read_by(Kind.SERVICE_DEFAULTS, defaults) == ["old", "older"]
            everywhere = entry(Kind.PROXY_DEFAULTS, "global", Config={"protocol": "http"})
            assert await read_by(Kind.PROXY_DEFAULTS, everywhere) == list(names)
            assert await read_by(Kind.INGRESS_GATEWAY, entry(Kind.INGRESS_GATEWAY, "in")) == []


async def test_all_chains_are_read_in_turn() -> None:
    async with FakeEntries() as fake:
        tell(fake, Kind.SERVICE_RESOLVER, entry(Kind.SERVICE_RESOLVER))
        chain(fake)
        async with watched(fake, options=replace(QUICK, sweep=0.1)) as seen:
            await seen.settled()
            chain(fake, "grpc")  # and nothing says so
            await seen.until(lambda value: value.chains["web"].protocol == "grpc")


async def test_a_chain_is_asked_of_the_leader() -> None:
    async with FakeEntries() as fake:
        tell(fake, Kind.SERVICE_RESOLVER, entry(Kind.SERVICE_RESOLVER))
        fake.always(CHAIN, Reply(body=recorded("chain-1.8")))
        async with watched(fake) as seen:
            await seen.settled()
        assert all("stale" not in asked.query for asked in fake.asked if asked.path == CHAIN)


async def test_the_first_catalog_waits_for_the_entries_until_its_deadline() -> None:
    async with FakeEntries() as fake:
        fake.put("a", row("a", port=1))
        tell(fake, Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, "a", Protocol="grpc"))
        fake.always(config(Kind.SERVICE_ROUTER), Reply(hang=True))
        async with source.watched(fake, replace(source.QUICK, entries=True)) as seen:
            await fake.until_asked(health("a"), 2)
            assert seen.value is None
            catalog = await seen.get()
            assert list(catalog.services) == ["a"]
            assert list(catalog.entries.overrides) == ["a"]
            assert [problem.source for problem in catalog.entries.problems] == [
                "consul config service-router"
            ]
            tell(fake, Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, "a", Protocol="http2"))
            changed = await seen.until(lambda now: now.entries is not catalog.entries)
            assert changed.services["a"] is catalog.services["a"]


async def test_without_entries_none_is_asked_for() -> None:
    async with FakeEntries() as fake:
        fake.put("a", row("a", port=1))
        async with source.watched(fake, source.QUICK) as seen:
            assert (await seen.get()).entries is NO_ENTRIES
        assert not any(asked.path.startswith("/v1/config") for asked in fake.asked)
