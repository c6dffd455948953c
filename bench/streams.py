"""What 1,000 streams cost: memory when idle, processor time for a push; and how a herd reconnects.

    python -m bench.streams [--mode delta --mode sotw]

The server runs in a process of its own for each variant, the clients (`bench.clients`) in another, on
loopback: 50 connections of 20 streams, every stream subscribed to 100 services, a listener and its routes.

    memory   growth of the server's resident memory from the first connection to the last, for each stream
             more; garbage is collected before both readings, and nothing moves in between
    CPU      processor time of the server over --changes pushes of one endpoint, for each push that a client
             has acknowledged; the wall time is from the change to the last of the 1,000 ACKs
    herd     500 clients with a connection each break off and come back within a second, asking for all there
             is: how long each waits for its first answers in full (CDS, EDS, LDS, RDS), from its connection
             on. It must be well below the 15 s after which a client takes what is missing for deleted
             (P-107). Then: what the server's memory grew by from a first herd to a second, and how soon after
             the clients are gone it has forgotten them

Both processes share the machine: on few processors the herd waits for the clients as much as for the server.
Memory is read from /proc, so this needs Linux.
"""

import asyncio
import contextlib
import gc
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

import click

from bench import catalogs
from bench.acks import Acks
from bench.times import Times
from tests.rig.eventually import eventually
from tests.rig.process import Process
from tests.runtime.inputs import Inputs
from tests.transport.serving import serving
from xds_server import telemetry
from xds_server.runtime.debounce import Pace

_PATIENCE: Final = 120.0
# Seconds in which everything that was set going has come to rest.
_REST: Final = 1.0
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many of everything."""

    connections: int
    streams: int
    services: int
    changes: int
    herd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was measured of one variant: bytes, seconds of processor time, milliseconds."""

    mode: str
    memory: float
    cpu: float
    pushes: Times
    herd: Times
    herd_cpu: float
    herd_growth: float
    reaped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stampede:
    """One coming and going of the herd: seconds of processor time, bytes, seconds until it is forgotten."""

    times: Times
    cpu: float
    memory: float
    reaped: float


class _Bench:
    """One server in this process, and the processes of clients that it is measured with."""

    def __init__(self, directory: Path, inputs: Inputs, port: int, mode: str, sizes: Sizes) -> None:
        self._directory = directory
        self._inputs = inputs
        self._port = port
        self._mode = mode
        self._sizes = sizes

    async def costs(self) -> Costs:
        """Measure everything of the variant."""
        sizes = self._sizes
        async with self._clients("first", 1, sizes.streams):
            before = await _memory()
            rest = sizes.connections - 1
            async with self._clients("rest", rest, sizes.streams):
                memory = (await _memory() - before) / (rest * sizes.streams)
                cpu, pushes = await self._push()
        await self._reaped()
        first = await self._stampede("herd")
        again = await self._stampede("herd-again")
        return Costs(
            mode=self._mode,
            memory=memory,
            cpu=cpu,
            pushes=pushes,
            herd=again.times,
            herd_cpu=again.cpu,
            herd_growth=again.memory - first.memory,
            reaped=again.reaped,
        )

    @contextlib.asynccontextmanager
    async def _clients(
        self, name: str, connections: int, streams: int, over: float = 0.0
    ) -> AsyncIterator[list[float]]:
        """Give the milliseconds to the first answers of each stream, once all have them."""
        process = Process(self._directory / f"{name}.log")
        command = [sys.executable, "-m", "bench.clients", str(self._port), "--mode", self._mode]
        command += ["--services", str(self._sizes.services), "--over", str(over)]
        command += ["--connections", str(connections), "--streams", str(streams)]
        await process.start(command)
        try:
            said = await eventually(
                lambda: process.output,
                lambda said: said.endswith("]\n") or process.returncode is not None,
                within=_PATIENCE,
                every=0.2,
            )
            if process.returncode is not None:
                raise click.ClickException(f"the clients ended: {said[-1000:]}")
            yield json.loads(said.splitlines()[-1])
        finally:
            await process.kill()

    async def _push(self) -> tuple[float, Times]:
        """Push to all streams; give the processor time of each push, and the times until all ACKs."""
        everyone = self._sizes.connections * self._sizes.streams
        catalog = catalogs.catalog(self._sizes.services)
        times = []
        with Acks() as acks:
            started = process_time()
            for number in range(self._sizes.changes):
                moved = catalogs.service(catalogs.names(1)[0], first_port=10 + number % 2)
                all_taken = acks.reaching(everyone * (number + 1))
                changed = perf_counter()
                catalog = catalogs.with_service(catalog, moved)
                self._inputs.catalog.publish(catalog)
                async with asyncio.timeout(_PATIENCE):
                    await all_taken
                times.append(1000 * (perf_counter() - changed))
            return (process_time() - started) / acks.count, Times.of(times)

    async def _stampede(self, name: str) -> _Stampede:
        """Let the herd come and go."""
        started = process_time()
        async with self._clients(name, self._sizes.herd, 1, over=1.0) as times:
            cpu = process_time() - started
            memory = await _memory()
        left = perf_counter()
        await self._reaped()
        return _Stampede(times=Times.of(times), cpu=cpu, memory=memory, reaped=perf_counter() - left)

    async def _reaped(self) -> None:
        labels = {"variant": self._mode}
        await eventually(
            lambda: telemetry.REGISTRY.get_sample_value("xds_streams", labels),
            lambda open_streams: not open_streams,
            within=_PATIENCE,
        )


async def _memory() -> int:
    """Give the resident bytes of this process, at rest."""
    await asyncio.sleep(_REST)
    gc.collect()
    return _resident()


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _measure(mode: str, sizes: Sizes) -> Costs:
    inputs = Inputs(catalogs.catalog(sizes.services), Pace())
    inputs.policy.publish(catalogs.policy())
    with tempfile.TemporaryDirectory() as directory:
        async with serving(inputs) as server:
            return await _Bench(Path(directory), inputs, server.port, mode, sizes).costs()


def measure(mode: str, sizes: Sizes) -> Costs:
    """Measure one variant, in a process that has measured nothing before."""
    return asyncio.run(_measure(mode, sizes))


@click.command()
@click.option("--mode", "modes", multiple=True, default=("delta", "sotw"), show_default=True)
@click.option("--connections", default=50, show_default=True, type=click.IntRange(2, 500))
@click.option(
    "--streams", default=20, show_default=True, type=click.IntRange(1, 100), help="Of a connection."
)
@click.option("--services", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--changes", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--herd", default=500, show_default=True, type=click.IntRange(1, 1000))
def main(modes: tuple[str, ...], **sizes: int) -> None:
    """Measure what many streams cost, and print the figures."""
    head = ("variant", "memory/stream", "CPU/push+ACK", "all ACKs median", "slowest")
    herd = ("herd median", "p99", "slowest", "server CPU", "growth", "forgotten in")
    print("".join(f"{word:>17}" for word in (*head, *herd)))
    # A process for each variant: what one has allocated, the next would use again.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for costs in pool.map(measure, modes, [Sizes(**sizes)] * len(modes)):
            print(_line(costs), flush=True)
    load = os.getloadavg()[0]
    print(f"{json.dumps(sizes)}, {os.cpu_count()} processors, load average {load:.1f}")


def _line(costs: Costs) -> str:
    cells = (
        costs.mode,
        f"{costs.memory / 1024:.1f} KiB",
        f"{1e6 * costs.cpu:.0f} us",
        f"{costs.pushes.median:.0f} ms",
        f"{costs.pushes.most:.0f} ms",
        f"{costs.herd.median:.0f} ms",
        f"{costs.herd.p99:.0f} ms",
        f"{costs.herd.most:.0f} ms",
        f"{costs.herd_cpu:.2f} s",
        f"{costs.herd_growth / _MIB:.1f} MiB",
        f"{costs.reaped:.2f} s",
    )
    return "".join(f"{cell:>17}" for cell in cells)


if __name__ == "__main__":
    main()
