"""End to end: a registration in a real Consul, until a real Envoy lists the instance in /clusters.

A trial registers a third instance of a service with a Consul agent. Beside xds-server a blocking query of
the benchmark's own waits for the same service; when it is answered, Consul has done its part. All on
loopback, with 20 other services, and time enough between the changes that the pace of the watches plays no
part.

    beyond Consul               from the answer of the benchmark's own blocking query to Envoy's listing it,
                                at a resolution of 2 ms
    all of it                   from the registration to Envoy's listing it
"""

import asyncio
import random
import time
from typing import Any, Final

import aiohttp

from bench.figures import OURS, percentile
from bench.run import Run
from tests.rig.consul_agent import find_consul
from tests.rig.eventually import eventually
from tests.rig.world import World

_ID: Final = "user-third"
# Discard: nobody listens there, and nobody asks for it.
_PORT: Final = 9
_SERVICES: Final = 20
_POLL: Final = 0.002
_WITHIN: Final = 10.0
_LISTED: Final = f"user::127.0.0.1:{_PORT}::".encode()


async def run(run: Run) -> None:
    """Run both variants."""
    if find_consul() is None:
        raise RuntimeError("no Consul agent: `make setup` fetches one")
    trials = run.choose(25, 100)
    for variant in run.choose(("delta",), ("delta", "sotw")):
        run.say(f"{trials} registrations, {variant}")
        beyond, whole = await _measure(run, variant, trials)
        case = {"variant": variant}
        run.result.add(case, OURS, "beyond Consul", "ms", *beyond)
        run.result.add(case, OURS, "beyond Consul, 99 of 100", "ms", percentile(beyond, 0.99))
        run.result.add(case, OURS, "all of it", "ms", *whole)


async def _measure(run: Run, variant: str, trials: int) -> tuple[list[float], list[float]]:
    directory = run.directory / variant
    directory.mkdir()
    async with World(directory, variant) as world:
        for number in range(_SERVICES):
            await world.consul.register(f"service-{number}", port=_PORT)
        await world.instance("user", "user-1")
        await world.instance("user", "user-2")
        await world.start()
        envoy = f"http://127.0.0.1:{world.envoy.admin_port}"
        async with (
            aiohttp.ClientSession(envoy) as admin,
            aiohttp.ClientSession(world.consul.address) as consul,
        ):
            pairs = [await _trial(world, admin, consul) for _ in range(trials)]
    return [beyond for beyond, _ in pairs], [whole for _, whole in pairs]


async def _trial(
    world: World, admin: aiohttp.ClientSession, consul: aiohttp.ClientSession
) -> tuple[float, float]:
    """Register, and take the times; then take it back."""
    # At no fixed beat, so that no timer of anybody's is always met at the same phase.
    await asyncio.sleep(random.uniform(0.6, 0.8))  # noqa: S311 - jitter
    answered = asyncio.create_task(_answered(consul, await _index(consul)))
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    registering = asyncio.create_task(world.consul.register("user", port=_PORT, id=_ID))
    async with asyncio.timeout(_WITHIN):
        while _LISTED not in await _clusters(admin):
            # Asking without a pause would take a processor away from those who are measured.
            await asyncio.sleep(_POLL)
    listed = time.perf_counter()
    await registering
    told = await answered
    await asyncio.sleep(0.7)
    await world.consul.deregister(_ID)
    await eventually(lambda: world.envoy.hosts("user"), lambda hosts: len(hosts) == 2)
    return round(max(0.0, 1000 * (listed - told)), 2), round(1000 * (listed - started), 2)


async def _index(consul: aiohttp.ClientSession) -> str:
    async with consul.get("/v1/health/service/user") as answer:
        return answer.headers["X-Consul-Index"]


async def _answered(consul: aiohttp.ClientSession, index: str) -> float:
    """Wait for Consul to answer that something changed; give when it did."""
    query: dict[str, Any] = {"index": index, "wait": "30s"}
    async with consul.get("/v1/health/service/user", params=query) as answer:
        await answer.read()
        return time.perf_counter()


async def _clusters(admin: aiohttp.ClientSession) -> bytes:
    async with admin.get("/clusters") as answer:
        return await answer.read()
