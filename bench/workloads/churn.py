"""Churn: 20 and 200 endpoints change in a second, over 1,000 services that every stream holds.

Each change moves an instance of another service, evenly spaced. xds-server gathers a burst and sends its
end (after 25 ms of quiet, or a second at the latest), so streams get fewer responses with more in them; go-
control-plane sends each change. By turns, after a first row that warms up.

    CPU of the server           processor time of its process for each second of churn, until all has arrived
    last change to last received    from the last change of the row to the last response of any stream
    responses to a stream       how many EDS responses a stream was sent in the row
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence

from bench.crowd import Crowd, Crowding
from bench.run import Pair, Run
from bench.servers import Estate, Server, Step

_SERVICES = 1_000
_INSTANCES = 10


async def run(run: Run) -> None:
    """Run each rate in each variant."""
    for variant in run.choose(("delta",), ("delta", "sotw")):
        crowding = run.crowding(run.choose(50, 200), variant=variant)
        with run.attempt(f"{_SERVICES} services, {crowding.streams} streams, {variant}"):
            await _measure(run, crowding)


async def _measure(run: Run, crowding: Crowding) -> None:
    estate = Estate(services=_SERVICES, instances=_INSTANCES)
    changing = range(0, _SERVICES, run.choose(5, 2))
    async with run.servers(estate, changing) as (servers, rows), run.crowds(servers, crowding) as pairs:
        # Away and back for ever: each step changes something, for every server.
        steps = itertools.cycle([*rows[0], *rows[1]])
        for rate in (20, 200):
            run.say(f"{rate} changes a second")
            await _rate(run, pairs, steps, rate)


async def _rate(run: Run, pairs: Sequence[Pair], steps: Iterator[Step], rate: int) -> None:
    seconds = run.choose(2.0, 10.0)
    found: dict[str, list[tuple[float, float, float]]] = {server.name: [] for server, _ in pairs}
    for turn in range(run.choose(3, 5)):
        chosen = list(itertools.islice(steps, int(rate * seconds)))
        for server, crowd in pairs:
            taken = await _churn(server, crowd, chosen, rate)
            found[server.name] += [taken] if turn else []
    for who, trials in found.items():
        case = {"changes a second": rate, "streams": pairs[0][1].crowding.streams}
        case |= {"variant": pairs[0][1].crowding.variant}
        cpu, late, responses = zip(*trials, strict=True)
        run.result.add(case, who, "CPU of the server", "s/s", *cpu)
        run.result.add(case, who, "last change to last received", "ms", *late)
        run.result.add(case, who, "responses to a stream", "", *responses)


async def _churn(
    server: Server, crowd: Crowd, steps: Sequence[Step], rate: int
) -> tuple[float, float, float]:
    """Make the changes at a rate; give CPU per second, ms from the last to its response, responses."""
    await crowd.settled()
    await crowd.count()
    cpu, started, number = server.child.cpu, time.monotonic(), 0
    for done, step in enumerate(steps):
        await asyncio.sleep(max(0.0, started + done / rate - time.monotonic()))
        number = await server.send(step)
    last = await server.child.event("set", number=number)
    await server.settle()
    received = await crowd.settled()
    server.child.drop("set")
    spent = server.child.cpu - cpu
    responses = (await crowd.count())["responses"].get("eds", 0)
    late = max(0.0, (received - last["started_at"]) / 1e6)
    return spent * rate / len(steps), late, responses / crowd.crowding.streams
