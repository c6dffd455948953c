"""Two real datacenters, joined over the WAN: what is where, and what is kept while the way is cut."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import pytest

from tests.rig.consul_agent import ConsulAgent
from tests.rig.eventually import eventually
from xds_server.consul.client import ConsulAddress, ConsulClient
from xds_server.consul.datacenters import Datacenters, Remotes
from xds_server.consul.watch import ConsulSource, WatchOptions
from xds_server.model.catalog import Catalog
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest

OPTIONS = WatchOptions(wait=2.0)


@contextlib.asynccontextmanager
async def two_datacenters() -> AsyncIterator[tuple[ConsulAgent, ConsulAgent]]:
    fast = 'gossip_wan { probe_interval = "100ms" probe_timeout = "50ms" suspicion_mult = 2 }'
    async with (
        ConsulAgent(hcl=['datacenter = "dc1"', fast]) as here,
        ConsulAgent(hcl=['datacenter = "dc2"', fast]) as there,
    ):
        await here.put(f"/v1/agent/join/127.0.0.1:{there.ports['serf_wan']}?wan=1")
        await eventually(lambda: here.get("/v1/catalog/services?dc=dc2"), within=20)
        yield here, there


class Seen:
    def __init__(self) -> None:
        self.catalog = Latest[Catalog]()
        self.standings = Latest[tuple[Standing, ...]]()

    def instances(self, name: str) -> list[tuple[str, int]]:
        assert self.catalog.value is not None
        service = self.catalog.value.services.get(name)
        return sorted((one.datacenter, one.port) for one in service.instances) if service else []

    @property
    def lost(self) -> frozenset[str]:
        assert self.catalog.value is not None
        return self.catalog.value.lost


@contextlib.asynccontextmanager
async def watched(agent: ConsulAgent, *others: str, keep: float = 60.0) -> AsyncIterator[Seen]:
    def source(datacenter: str) -> ConsulSource:
        client = ConsulClient(ConsulAddress(url=agent.address, datacenter=datacenter))
        return ConsulSource(client, OPTIONS)

    seen = Seen()
    remotes = Remotes(sources={name: source(name) for name in others}, keep=keep, first_wait=2.0)
    task = asyncio.create_task(Datacenters(source(""), remotes).run(seen.catalog, seen.standings))
    try:
        yield seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_instances_of_all_named_datacenters_are_there_and_follow_changes() -> None:
    async with two_datacenters() as (here, there):
        await here.register("user", port=1)
        await there.register("user", port=2)
        await there.register("payment", port=3)
        async with watched(here, "dc2") as seen:
            await eventually(lambda: seen.instances("user") == [("dc1", 1), ("dc2", 2)], within=15)
            assert seen.instances("payment") == [("dc2", 3)]

            await there.register("user", port=4)
            await eventually(lambda: seen.instances("user") == [("dc1", 1), ("dc2", 2), ("dc2", 4)])


@pytest.mark.slow
async def test_a_datacenter_out_of_reach_is_kept_then_lost_and_comes_back() -> None:
    async with two_datacenters() as (here, there):
        await here.register("user", port=1)
        await there.register("user", port=2)
        async with watched(here, "dc2", keep=2.0) as seen:
            both = [("dc1", 1), ("dc2", 2)]
            await eventually(lambda: seen.instances("user") == both, within=15)
            assert there.process is not None
            there.process.send_signal(signal.SIGSTOP)
            try:
                await here.register("user", port=5)
                await eventually(lambda: ("dc1", 5) in seen.instances("user"))
                await eventually(lambda: seen.lost == {"dc2"}, within=60)
                assert ("dc2", 2) in seen.instances("user")
            finally:
                there.process.send_signal(signal.SIGCONT)
            await eventually(lambda: seen.lost == frozenset(), within=60)
            assert ("dc2", 2) in seen.instances("user")


async def test_a_datacenter_that_nobody_knows_holds_nothing_up_for_long() -> None:
    async with ConsulAgent() as here:
        await here.register("user", port=1)
        async with watched(here, "nowhere") as seen:
            await eventually(lambda: seen.instances("user") == [("dc1", 1)], within=20)
            standings = seen.standings.value or ()
            (nowhere,) = [one for one in standings if one.source == "consul nowhere"]
            assert nowhere.state is State.STALE
            assert "500" in nowhere.reason
