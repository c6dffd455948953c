"""What stays flat while everything changes: memory, files and streams of the server, over a long time (P38).

    python -m tests.process.soak --seconds 600

One process serves a catalog file of 100 services that changes 20 times a second. 200 clients follow it, half
of each variant, five of which reconnect each second. A row is written every so often; the last line tells by
how much memory grew in 10 minutes, by a straight line through what was measured after the first third.
"""

import asyncio
import contextlib
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import yaml

from tests.process.follower import Follower
from tests.rig.eventually import eventually
from tests.rig.server import XdsServer

CLIENTS: Final = 200
SERVICES: Final = 100
CHANGES: Final = 20
RECONNECTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look: seconds since the beginning, MiB of memory, open files, threads, and the server's metrics."""

    at: float
    memory: float
    files: int
    threads: int
    streams: int
    sent: int
    lag: float


def slope(samples: list[Sample]) -> float:
    """Give by how many MiB memory grows in 10 minutes: least squares over all but the first third."""
    late = [one for one in samples if one.at >= samples[-1].at / 3]
    at = sum(one.at for one in late) / len(late)
    memory = sum(one.memory for one in late) / len(late)
    over = sum((one.at - at) ** 2 for one in late)
    return 600 * sum((one.at - at) * (one.memory - memory) for one in late) / over


async def soak(
    directory: Path, seconds: float, every: float, *, changes: float = CHANGES, reconnects: float = RECONNECTS
) -> list[Sample]:
    """Let it run for so many seconds, and look every so many; so often a second it changes and reconnects."""
    catalog = directory / "catalog.yaml"
    _write(catalog, 0)
    samples: list[Sample] = []
    async with XdsServer(directory, ("--catalog", str(catalog))) as server:
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    Follower(server.port, mode, f"service-{number % SERVICES}", node=f"{mode}-{number}")
                )
                for number, mode in zip(range(CLIENTS), itertools.cycle(("delta", "sotw")))
            ]
            await eventually(lambda: all(one.ports for one in clients), within=60.0)
            tasks = [
                asyncio.create_task(_change(catalog, changes)),
                asyncio.create_task(_reconnect(clients, reconnects)),
            ]
            began = asyncio.get_running_loop().time()
            while (at := asyncio.get_running_loop().time() - began) < seconds:
                samples.append(await _sample(server, at))
                _show(samples[-1])
                await asyncio.sleep(every)
            for task in tasks:
                assert not task.done()
                task.cancel()
            assert not any(one.lost for one in clients)
        assert not server.events("task.failed")
        assert not server.events("stream.failed")
    return samples


def _write(catalog: Path, number: int) -> None:
    ports = {one: 40_000 + (number if one == number % SERVICES else 0) for one in range(SERVICES)}
    services = {
        f"service-{one}": {"instances": [{"address": "10.0.0.1", "port": port}]}
        for one, port in ports.items()
    }
    fresh = catalog.with_suffix(".new")
    fresh.write_text(yaml.dump({"datacenter": "dc1", "services": services}, Dumper=yaml.CSafeDumper))
    fresh.replace(catalog)


async def _change(catalog: Path, rate: float) -> None:
    for number in itertools.count(1):
        await asyncio.to_thread(_write, catalog, number % 10_000)
        await asyncio.sleep(1 / rate)


async def _reconnect(clients: list[Follower], rate: float) -> None:
    for client in itertools.cycle(clients):
        await client.reconnect()
        await asyncio.sleep(1 / rate)


async def _sample(server: XdsServer, at: float) -> Sample:
    process = Path("/proc") / str(_server_pid(server))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    metrics = await server.metrics()
    return Sample(
        at=at,
        memory=int(status["VmRSS"].split()[0]) / 1024,
        files=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        streams=round(metrics.total("xds_streams")),
        sent=round(metrics.total("xds_responses_total")),
        lag=metrics.total("xds_loop_lag_worst_seconds"),
    )


def _server_pid(server: XdsServer) -> int:
    running: Any = server.process._process
    return int(running.pid)


def _show(one: Sample) -> None:
    click.echo(
        f"{one.at:7.0f} s {one.memory:8.1f} MiB {one.files:5} files {one.threads:4} threads "
        f"{one.streams:5} streams {one.sent:9} responses  lag {1000 * one.lag:6.1f} ms"
    )


@click.command()
@click.option("--seconds", default=600.0, show_default=True)
@click.option("--every", default=15.0, show_default=True, help="Seconds between two looks.")
@click.option("--changes", default=CHANGES, show_default=True, type=float, help="Changes a second.")
@click.option("--reconnects", default=RECONNECTS, show_default=True, type=float, help="Reconnects a second.")
def main(seconds: float, every: float, changes: float, reconnects: float) -> None:
    """Run the soak, and say by how much memory grew."""
    with tempfile.TemporaryDirectory() as directory:
        samples = asyncio.run(soak(Path(directory), seconds, every, changes=changes, reconnects=reconnects))
    click.echo(f"memory grows by {slope(samples):.2f} MiB in 10 minutes")


if __name__ == "__main__":
    main()
