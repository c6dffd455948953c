"""Groups: 1,000 sidecar-like groups, each with its own listener and 10 upstreams, one stream each.

For xds-server they are ingress gateways of Consul, of which each proxy says which one it is an instance of;
10 services are behind each, and each service is behind 10 gateways. Then one endpoint changes, which
concerns 10 groups, and the others nothing.

go-control-plane's snapshot cache has one snapshot for each group too; it is given the resources of each
group that xds-server makes, and for a change the snapshots of the 10 groups it concerns. Its linear cache
and the bare sender know no groups.

    slowest group served        from the connection of a stream until it has everything; they come 400 a
                                second
    CPU to serve                processor time of the server's process until all groups are served
    memory of a group           what the server's process grew by, for each group
    CPU of a change             processor time of the server's process, to the last of 10 ACKs
    change to last ACK          from the change to the last of 10 ACKs
"""

import asyncio
import contextlib
from typing import Final

from bench.crowd import Crowd, Crowding
from bench.run import Pair, Run, in_turn
from bench.servers import Estate, Server, ours, peer

_UPSTREAMS: Final = 10
_INSTANCES: Final = 2
_REST: Final = 1.0


async def run(run: Run) -> None:
    """Run 50 groups, and 1,000."""
    for groups in (50, 1_000):
        crowding = run.crowding(groups, groups=groups)
        with run.attempt(f"{groups} groups"):
            await _measure(run, crowding)


async def _measure(run: Run, crowding: Crowding) -> None:
    groups, resources = crowding.groups, run.directory / f"of-{crowding.groups}-groups"
    estate = Estate(services=groups, instances=_INSTANCES, gateways=groups, upstreams=_UPSTREAMS)
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(ours())
        await first.fill(estate)
        away, back = await first.steps(run.directory, [groups // 2])
        pairs = [await _served(run, stack, first, crowding)]
        await first.dump_groups(resources)
        # The limit knows no groups; the linear cache has one for each type, which all of them share.
        for name in run.peers(only=("snapshot",)):
            served = await stack.enter_async_context(peer(name, resources / "{group}.pb", groups))
            pairs.append(await _served(run, stack, served, crowding))
        run.say("changes")
        rows = await in_turn(pairs, (away + back) * 2, run.choose(8.0, 20.0), expect=_UPSTREAMS)
    for (server, _), found in zip(pairs, rows, strict=True):
        case = {"groups": groups}
        changes = len(away + back) * 2
        run.result.add(
            case, server.name, "CPU of a change", "ms", *(1000 * row.cpu / changes for row in found)
        )
        times = [one for row in found for one in row.acknowledged]
        run.result.add(case, server.name, "change to last ACK", "ms", *times)


async def _served(run: Run, stack: contextlib.AsyncExitStack, server: Server, crowding: Crowding) -> Pair:
    """Let a stream of each group come, and note what that took."""
    run.say(f"{crowding.groups} groups come to {server.name}")
    case, cpu, before = {"groups": crowding.groups}, server.child.cpu, server.child.rss
    crowd: Crowd = await stack.enter_async_context(run.crowd(server, crowding))
    await asyncio.sleep(_REST)
    spent, grown = server.child.cpu - cpu, server.child.rss - before
    run.result.add(case, server.name, "slowest group served", "s", max(crowd.ready_ms) / 1000)
    run.result.add(case, server.name, "CPU to serve", "s", spent)
    run.result.add(case, server.name, "memory of a group", "kB", grown / crowding.groups / 1000)
    return server, crowd
