"""The process under test of `bench.consul`: one source of Consul, and nothing else.

It is told words on standard input, a line each: `figures` has it print one line of JSON, `end` ends it. A
service that changes is a line of JSON too, with the time of the clock that all processes share. What proxies
use is the first `used` services.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from bench.consul_catalog import name_of
from xds_server import telemetry
from xds_server.consul.address import ConsulAddress
from xds_server.consul.assembly import Assembly
from xds_server.consul.client import ConsulClient
from xds_server.consul.decode import decode_service, decode_services
from xds_server.consul.watch import ConsulSource
from xds_server.model.catalog import Catalog, Service
from xds_server.runtime.interest import Interest
from xds_server.runtime.latest import Latest

_WAIT: Final = "300s"


class Simple:
    """The design this is measured against: one long poll for each service, whatever it costs.

    It decodes and believes with our own code, so that the difference is in how it asks.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._assembly = Assembly("")
        self._polls: dict[str, asyncio.Task[None]] = {}
        self.queries = 0

    async def run(self, catalog: Latest[Catalog]) -> None:
        """Watch for ever."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(self._address, connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):

            def listed(body: bytes) -> None:
                names = decode_services(body) - {"consul"}
                self._assembly.believe_list(names, ())
                for name in names - self._polls.keys():
                    poll = self._poll(session, f"/v1/health/service/{name}", _service(name))
                    self._polls[name] = group.create_task(poll)

            def _service(name: str) -> Callable[[bytes], None]:
                def take(body: bytes) -> None:
                    self._assembly.believe_service(decode_service(name, body, "dc1"))
                    if self._assembly.complete:
                        catalog.publish(self._assembly.catalog())

                return take

            await self._poll(session, "/v1/catalog/services", listed)

    async def _poll(self, session: aiohttp.ClientSession, path: str, take: Callable[[bytes], None]) -> None:
        index = "0"
        while True:
            parameters = {"index": index, "wait": _WAIT} if index != "0" else {}
            async with session.get(path, params=parameters) as answer:
                body = await answer.read()
                index = answer.headers["X-Consul-Index"]
            self.queries += 1
            take(body)


class Ours:
    """The source of the server."""

    def __init__(self, address: str, used: int) -> None:
        interest = Interest()
        interest.change(map(name_of, range(used)), ())
        self._source = ConsulSource(ConsulClient(ConsulAddress(url=address)), interest=interest)

    async def run(self, catalog: Latest[Catalog]) -> None:
        """Watch for ever."""
        await self._source.run(catalog)

    @property
    def queries(self) -> int:
        """How many queries were answered."""
        samples = next(iter(telemetry.CONSUL_QUERIES.collect())).samples
        return int(sum(one.value for one in samples if one.name.endswith("_total")))


def tell(**fields: Any) -> None:
    """Print a line of JSON."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def watch(catalog: Latest[Catalog]) -> None:
    """Tell which services changed; that costs a walk over all of them, in every design."""
    before: dict[str, Service] = {}
    async for value in catalog.values():
        now = time.monotonic()
        if not before:
            tell(synced=now, services=len(value.services))
        else:
            changed = [name for name, one in value.services.items() if before.get(name) is not one]
            tell(changed=changed, at=now)
        before = dict(value.services)


async def answer(source: Simple | Ours) -> None:
    """Answer what is asked on standard input, until it ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while (line := await lines.readline()).strip() == b"figures":
        kinds = Counter(
            {
                one.labels["kind"]: int(one.value)
                for one in next(iter(telemetry.CONSUL_QUERIES.collect())).samples
                if one.name.endswith("_total")
            }
        )
        used = resource.getrusage(resource.RUSAGE_SELF)
        tell(
            cpu=used.ru_utime + used.ru_stime,
            queries=source.queries,
            kinds=dict(kinds),
            memory=used.ru_maxrss // 1024,
        )
    assert line.strip() == b"end", line  # noqa: S101 - a benchmark


async def main(design: str, address: str, used: int) -> None:
    """Run one design until told to end."""
    source = Simple(address) if design == "simple" else Ours(address, used)
    catalog = Latest[Catalog]()
    tell(started=time.monotonic())
    tasks = [asyncio.create_task(source.run(catalog)), asyncio.create_task(watch(catalog))]
    answering = asyncio.create_task(answer(source))
    await asyncio.wait([*tasks, answering], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await answering


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
