"""How long a registration takes from Consul to Envoy.

    python -m bench.propagation [--trials 100] [--mode delta --mode sotw]

A trial registers a third instance with a real Consul agent (PUT /v1/agent/service/register) and asks a real
Envoy for /clusters until it lists that instance: all of it on loopback, the clock started before the PUT is
sent. Between changes it waits long enough that the pace of the Consul watches (burst 5, then 2/s) plays no
part. Prints JSON to standard output, a line for each variant to standard error.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import aiohttp
import click

from bench.times import Times
from tests.rig.eventually import eventually
from tests.rig.world import World

_ID = "user-third"
# Discard: nobody listens there, and nobody asks for it.
_PORT = 9
_SERVICES = 20
_POLL = 0.002


async def measure(mode: str, trials: int, pause: float) -> Times:
    """Run the trials of one variant."""
    with tempfile.TemporaryDirectory() as directory:
        async with World(Path(directory), mode) as world:
            for number in range(_SERVICES):
                await world.consul.register(f"service-{number}", port=_PORT)
            await world.instance("user", "user-1")
            await world.instance("user", "user-2")
            await world.start()
            async with aiohttp.ClientSession(f"http://127.0.0.1:{world.envoy.admin_port}") as admin:
                times = [await _trial(world, admin, pause) for _ in range(trials)]
    return Times.of(times)


async def _trial(world: World, admin: aiohttp.ClientSession, pause: float) -> float:
    # At no fixed beat, so that no timer of anybody's is always met at the same phase.
    await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
    started = perf_counter()
    registering = asyncio.create_task(world.consul.register("user", port=_PORT, id=_ID))
    while not await _is_listed(admin):
        if perf_counter() - started > 10:
            raise TimeoutError("the instance was not listed within 10 s")
        # Asking without a pause would take a processor away from those who are measured.
        await asyncio.sleep(_POLL)
    milliseconds = 1000 * (perf_counter() - started)
    await registering
    await asyncio.sleep(pause)
    await world.consul.deregister(_ID)
    await eventually(lambda: world.envoy.hosts("user"), lambda hosts: len(hosts) == 2)
    return milliseconds


async def _is_listed(admin: aiohttp.ClientSession) -> bool:
    async with admin.get("/clusters") as answer:
        return f"user::127.0.0.1:{_PORT}::".encode() in await answer.read()


@click.command()
@click.option("--trials", default=100, show_default=True, type=click.IntRange(1))
@click.option("--mode", "modes", multiple=True, default=("delta", "sotw"), show_default=True)
@click.option("--pause", default=0.7, show_default=True, help="Seconds between changes.")
def main(trials: int, modes: tuple[str, ...], pause: float) -> None:
    """Measure, and print the figures."""
    results = []
    for mode in modes:
        result = asyncio.run(measure(mode, trials, pause))
        results.append({"mode": mode, **asdict(result)})
        line = f"median {result.median} ms, p99 {result.p99} ms, slowest {result.most} ms"
        print(f"{mode}: {line}, {trials} trials; load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(json.dumps({"unit": "ms", "cpus": os.cpu_count(), "results": results}))


if __name__ == "__main__":
    main()
