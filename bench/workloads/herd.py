"""Reconnect herd: 1,000 and 2,000 streams that hold everything break off and come back at the same moment.

They say what they hold, as an Envoy does: the versions of its resources in delta, the version of each type in
the state of the world. 100 services x 10 instances. By turns. xds-server lets 500 streams in at once and then
500 a second (P-115), so that those that stayed have their turn too; the others let everyone in.

    last stream ready           from the connection of a stream to its first response or, where there is
                                nothing to say, until its requests are written; the slowest stream
    99 of 100 ready             the same, of all but the slowest hundredth
    CPU for a stream            processor time of the server's process, for each stream that came back
    bytes to a stream           what it was sent, beside what it held
"""

import asyncio

from bench.crowd import Crowd, Crowding
from bench.figures import Case, percentile
from bench.run import Run
from bench.servers import Estate, Server

_REST = 1.0


async def run(run: Run) -> None:
    """Run both sizes in both variants."""
    for streams in run.choose((1_000,), (1_000, 2_000)):
        for variant in ("delta", "sotw"):
            crowding = run.crowding(streams, variant=variant)
            with run.attempt(f"{crowding.streams} streams, {variant}"):
                await _measure(run, crowding)


async def _measure(run: Run, crowding: Crowding) -> None:
    estate = Estate(services=100, instances=10)
    async with run.servers(estate) as (servers, _), run.crowds(servers, crowding) as pairs:
        case = {"streams": crowding.streams, "variant": crowding.variant}
        for turn in range(run.choose(3, 6)):
            for server, crowd in tuple(pairs):
                with run.attempt(f"{server.name} comes back, turn {turn + 1}"):
                    await _return(run, server, crowd, case if turn else {})
                    continue
                # Its streams are gone.
                pairs.remove((server, crowd))


async def _return(run: Run, server: Server, crowd: Crowd, case: Case) -> None:
    """Let the herd break off and come back; note it, unless it is the turn that warms up."""
    cpu = server.child.cpu
    found = await crowd.reconnect(0.0)
    await asyncio.sleep(_REST)
    if not case:
        return
    who, times, streams = server.name, found["ready_ms"], crowd.crowding.streams
    run.result.add(case, who, "last stream ready", "ms", max(times))
    run.result.add(case, who, "99 of 100 ready", "ms", percentile(times, 0.99))
    run.result.add(case, who, "CPU for a stream", "ms", 1000 * (server.child.cpu - cpu) / streams)
    run.result.add(case, who, "bytes to a stream", "B", found["bytes"] / streams)
