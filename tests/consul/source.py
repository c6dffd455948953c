"""The source against a Consul of a test's own: what is published, and a way to wait for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.consul.fake_consul import FakeConsul
from tests.rig.consul_agent import ConsulAgent
from xds_server.consul.address import ConsulAddress
from xds_server.consul.client import ConsulClient
from xds_server.consul.watch import ConsulSource, WatchOptions
from xds_server.model.catalog import Catalog
from xds_server.model.standing import Standing, State
from xds_server.runtime.interest import Interest
from xds_server.runtime.latest import Latest

# Fast enough to retry in a test, without limits that a test is not about.
QUICK = WatchOptions(
    wait=5, sync_deadline=0.3, burst=1000, per_second=1000, requests_per_second=10_000, entries=False
)


class Seen(Latest[Catalog]):
    """Counts what is published, and waits for a fact."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Catalog] = []
        self.standings = Latest[tuple[Standing, ...]]()

    @property
    def live(self) -> bool:
        return [one.state for one in self.standings.value or ()] == [State.LIVE]

    def publish(self, value: Catalog) -> bool:
        new = super().publish(value)
        if new:
            self.published.append(value)
        return new

    async def until(self, fact: Callable[[Catalog], bool]) -> Catalog:
        async with asyncio.timeout(30):
            async for catalog in self.values():
                if fact(catalog):
                    return catalog
        raise AssertionError


def ports(catalog: Catalog, name: str) -> list[int]:
    return sorted(one.port for one in catalog.services[name].instances) if name in catalog.services else []


@asynccontextmanager
async def watched(
    consul: FakeConsul | ConsulAgent,
    options: WatchOptions = QUICK,
    interest: Interest | None = None,
    token: str = "",
    **client: Any,
) -> AsyncIterator[Seen]:
    seen = Seen()
    address = ConsulAddress(url=consul.address, token=token)
    source = ConsulSource(ConsulClient(address, **client), options, interest=interest)
    task = asyncio.create_task(source.run(seen, seen.standings))
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()
