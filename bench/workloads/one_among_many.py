"""One change among many: one endpoint changes, or one service is added, among 100, 1,000 and 10,000 services.

Each service has 10 instances, and one stream holds everything. The servers of all sizes are up together and
have their turns; a change costs what changed if the figures are the same for each size.

    CPU of a change             processor time of the server's process, from the decoded change to the ACK
    change to ACK               from the change to the ACK of the stream
    bytes of a service more     what the stream is sent when a service is added: cluster, endpoints, routes
"""

import contextlib
from collections.abc import Sequence

from bench.crowd import Crowd
from bench.figures import OURS
from bench.run import Run, in_turn
from bench.servers import Estate, Ours, Server

_INSTANCES = 10


async def run(run: Run) -> None:
    """Run all variants."""
    for variant in run.choose(("delta",), ("delta", "sotw")):
        with run.attempt(variant):
            await _measure(run, variant)


async def _measure(run: Run, variant: str) -> None:
    sizes = (100, 1_000, 10_000)
    async with contextlib.AsyncExitStack() as stack:
        found: list[tuple[int, Server, Crowd]] = []
        for services in sizes:
            run.say(f"{services} services, {variant}")
            estate = Estate(services=services, instances=_INSTANCES)
            # Everyone's files have the same names: the change is the same at each size.
            servers, (away, back) = await stack.enter_async_context(run.servers(estate, [50]))
            for server in servers:
                crowd = await stack.enter_async_context(run.crowd(server, run.crowding(1, variant=variant)))
                found.append((services, server, crowd))
        run.say(f"changes, {variant}")
        pairs = [(server, crowd) for _, server, crowd in found]
        rows = await in_turn(pairs, (away + back) * 3, run.choose(20.0, 60.0))
        for (services, server, _), taken in zip(found, rows, strict=True):
            case = {"services": services, "variant": variant}
            run.result.add(
                case, server.name, "CPU of a change", "ms", *(1000 * r.cpu / r.pushes for r in taken)
            )
            times = [one for row in taken for one in row.acknowledged]
            run.result.add(case, server.name, "change to ACK", "ms", *times)
        for services, server, crowd in found:
            if isinstance(server, Ours):
                case = {"services": services, "variant": variant}
                sizes_sent = await _added(server, crowd, services)
                run.result.add(case, OURS, "bytes of a service more", "B", *sizes_sent)


async def _added(server: Ours, crowd: Crowd, services: int) -> Sequence[float]:
    """Add a service and take it away, three times; give the bytes the stream was sent for it."""
    sizes = []
    for _ in range(3):
        await crowd.settled()
        await crowd.count()
        await server.add(services)
        await crowd.settled()
        sizes.append(float(sum((await crowd.count())["bytes"].values())))
        await server.remove(services)
    return sizes
