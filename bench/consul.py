"""What following Consul costs, and how long a change takes: our source against the simple design.

    python -m bench.consul [--services 1000] [--instances 5] [--used 50] [--design ours --design simple]

A real Consul agent with so many services, each instance with a check. The simple design has one long poll
for each service and no budget; for it Consul's limit of connections for each client is raised. Each design
runs in a process of its own, and a new Consul for each: first sync, an idle time, 20 changes a second, and
then ports that change in silence. Prints JSON to standard output, a line for each phase to standard error.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import click

from bench.consul_catalog import Changes, name_of, register
from bench.times import Times
from tests.rig.consul_agent import ConsulAgent

_PER_SECOND: Final = 20
_SILENT: Final = 3
_CALM: Final = 10.0
_LONGEST: Final = 300.0
_ESTABLISHED: Final = "01"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is measured: services, instances of each, how many of them proxies use, seconds of a phase."""

    services: int
    instances: int
    used: int
    seconds: float


@dataclass(slots=True)
class Watcher:
    """The process under test."""

    process: asyncio.subprocess.Process
    started: float = 0.0
    synced: float = 0.0
    changed: dict[str, float] = field(default_factory=dict)
    figures: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def start(cls, design: str, address: str, used: int) -> Self:
        """Start a design against a Consul."""
        command = [sys.executable, "-m", "bench.consul_watcher", design, address, str(used)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24
        )
        return cls(process)

    async def read(self) -> None:
        """Take what it says, until it ends."""
        assert self.process.stdout  # noqa: S101 - it is a pipe
        async for line in self.process.stdout:
            said = json.loads(line)
            if "started" in said:
                self.started = said["started"]
            elif "synced" in said:
                self.synced = said["synced"]
            elif "changed" in said:
                self.changed.update(dict.fromkeys(said["changed"], said["at"]))
            else:
                self.figures.put_nowait(said)
            self.news.set()

    async def say(self, word: str) -> None:
        """Tell it a word."""
        assert self.process.stdin  # noqa: S101 - it is a pipe
        self.process.stdin.write(f"{word}\n".encode())
        await self.process.stdin.drain()

    async def until_changed(self, name: str, since: float) -> float:
        """Give the seconds until a service was seen to change."""
        async with asyncio.timeout(_LONGEST):
            while self.changed.get(name, 0.0) < since:
                self.news.clear()
                await self.news.wait()
        return self.changed[name] - since


def cpu_of(pid: int) -> float:
    """Give the seconds of processor time a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def connections_to(port: int) -> int:
    """Count the connections to a port of loopback that are open."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[2].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows)


class Measurement:
    """One design against one Consul."""

    def __init__(self, agent: ConsulAgent, watcher: Watcher, size: Size) -> None:
        self._agent = agent
        self._watcher = watcher
        self._size = size
        self._changes = Changes(agent, size.services, size.instances, size.used)

    async def run(self) -> dict[str, Any]:
        """Give all figures."""
        times: dict[str, list[float]] = defaultdict(list)
        result: dict[str, Any] = {}
        phases = {
            "start": self._sync,
            "idle": partial(self._phase, partial(asyncio.sleep, self._size.seconds)),
            "changes": partial(self._phase, partial(self._load, times)),
            "silent_seconds": self._silent,
        }
        for name, phase in phases.items():
            result[name] = await phase()
            print(f"{name}: {result[name]}", file=sys.stderr, flush=True)
            await asyncio.sleep(_CALM)
        result["milliseconds"] = {key: asdict(Times.of(found)) for key, found in sorted(times.items())}
        return result

    async def _sync(self) -> dict[str, Any]:
        before = cpu_of(self._consul)
        most = 0
        async with asyncio.timeout(_LONGEST):
            while not self._watcher.synced:
                most = max(most, self._connections())
                await asyncio.sleep(0.1)
        figures = await self._figures()
        return {
            "seconds": round(self._watcher.synced - self._watcher.started, 2),
            "connections": max(most, self._connections()),
            "queries": figures["queries"],
            "cpu": round(figures["cpu"], 2),
            "consul_cpu": round(cpu_of(self._consul) - before, 2),
        }

    async def _phase(self, what: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        started, before, consul = time.monotonic(), await self._figures(), cpu_of(self._consul)
        await what()
        seconds, after = time.monotonic() - started, await self._figures()
        return {
            "connections": self._connections(),
            "queries_per_second": round((after["queries"] - before["queries"]) / seconds, 2),
            "by_kind": {
                kind: round((count - before["kinds"].get(kind, 0)) / seconds, 2)
                for kind, count in after["kinds"].items()
            },
            "cpu_percent": round(100 * (after["cpu"] - before["cpu"]) / seconds, 2),
            "consul_cpu_percent": round(100 * (cpu_of(self._consul) - consul) / seconds, 2),
            "memory_mb": after["memory"],
        }

    async def _load(self, times: dict[str, list[float]]) -> None:
        """Make changes at an even pace; none meets a service that has one on the way."""
        under_way: dict[int, asyncio.Task[None]] = {}
        started = time.monotonic()
        for number in range(int(_PER_SECOND * self._size.seconds)):
            await asyncio.sleep(max(0.0, started + number / _PER_SECOND - time.monotonic()))
            service = self._changes.pick()
            if service in under_way and not under_way[service].done():
                continue
            since = time.monotonic()
            await self._changes.make(service)
            used = "used" if service < self._size.used else "other"
            found = times[f"{self._changes.kind}, {used}"]
            under_way[service] = asyncio.create_task(self._note(service, since, found))
        await asyncio.gather(*under_way.values())

    async def _note(self, service: int, since: float, found: list[float]) -> None:
        found.append(1000 * await self._watcher.until_changed(name_of(service), since))

    async def _silent(self) -> list[float]:
        """Time changes that no answer about all services shows, in services that nobody uses."""
        found = []
        for number in range(_SILENT):
            service = self._size.services - 1 - number
            since = time.monotonic()
            await self._changes.move(service, 9000)
            found.append(round(await self._watcher.until_changed(name_of(service), since), 2))
        return found

    @property
    def _consul(self) -> int:
        assert self._agent.process is not None  # noqa: S101 - it runs
        return self._agent.process.pid

    def _connections(self) -> int:
        assert self._agent.http_port is not None  # noqa: S101 - it runs
        # One is that of the one who makes the changes.
        return connections_to(self._agent.http_port) - 1

    async def _figures(self) -> dict[str, Any]:
        await self._watcher.say("figures")
        return await self._watcher.figures.get()


async def measure(design: str, size: Size) -> dict[str, Any]:
    """Measure one design."""
    limit = 200 if design == "ours" else size.services + 500
    async with ConsulAgent(hcl=(f"limits {{ http_max_conns_per_client = {limit} }}",)) as agent:
        await register(agent, size.services, size.instances)
        watcher = await Watcher.start(design, agent.address, size.used)
        reading = asyncio.create_task(watcher.read())
        try:
            return await Measurement(agent, watcher, size).run()
        finally:
            await watcher.say("end")
            await asyncio.wait_for(watcher.process.wait(), 30)
            await reading


@click.command()
@click.option("--services", default=1000, show_default=True, type=click.IntRange(10))
@click.option("--instances", default=5, show_default=True, type=click.IntRange(1))
@click.option("--used", default=50, show_default=True, help="How many services proxies use.")
@click.option("--seconds", default=30.0, show_default=True, help="How long each phase lasts.")
@click.option("--design", "designs", multiple=True, default=("ours", "simple"), show_default=True)
def main(services: int, instances: int, used: int, seconds: float, designs: tuple[str, ...]) -> None:
    """Measure, and print the figures."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    size = Size(services=services, instances=instances, used=used, seconds=seconds)
    results = {}
    for design in designs:
        results[design] = asyncio.run(measure(design, size))
        for key, value in results[design]["milliseconds"].items():
            print(f"{design}: {key}: {value}", file=sys.stderr, flush=True)
    print(json.dumps({"size": asdict(size), "load": os.getloadavg()[0], "designs": results}))


if __name__ == "__main__":
    main()
