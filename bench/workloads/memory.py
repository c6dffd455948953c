"""Memory: of an idle stream, of a service, of an endpoint.

Streams: they hold one small service and rest, 20 to a connection. What the server's process grows by from the
first 200 streams to all, for each stream more. What gRPC itself needs is what the bare sender grows by; its
streams hold nothing at all.

Endpoints and services: what the process grows by from the empty server to the first snapshot, catalog,
resources and all; "one Envoy" also has the snapshot of the group of a connected Envoy. Resident memory,
after a garbage collection and with what is free given back to the system, where the server can be told to.

    memory of an idle stream    bytes, in kB
    memory of an endpoint       everything there is with 10 instances to a service, for each instance
    memory of a service         the same with 1 instance to a service, for each service
"""

import asyncio
from typing import Final

from bench.figures import OURS
from bench.run import Run
from bench.servers import Estate, Server, ours

_FIRST: Final = 200
_EACH: Final = 20
_FEW: Final = 2_000
_SMALL: Final = (OURS, "bare")
_REST: Final = 2.0


async def run(run: Run) -> None:
    """Run all three."""
    for services in run.choose((1_000,), (1_000, 10_000)):
        for instances, what in ((10, "memory of an endpoint"), (1, "memory of a service")):
            with run.attempt(f"{services} services x {instances}"):
                await _catalog(run, services, instances, what)
    for streams in run.choose((2_000,), (2_000, 20_000)):
        with run.attempt(f"{streams} idle streams"):
            await _streams(run, streams)


async def _catalog(run: Run, services: int, instances: int, what: str) -> None:
    for _ in range(run.choose(1, 3)):
        async with ours() as server:
            rss = (await server.fill(Estate(services=services, instances=instances)))["rss"]
            each = services if instances == 1 else services * instances
            case = {"services": services, "instances": instances}
            run.result.add(
                case | {"holds": "catalog"}, OURS, what, "B", (rss["decoded"] - rss["before"]) / each
            )
            run.result.add(
                case | {"holds": "snapshot"}, OURS, what, "B", (rss["after"] - rss["before"]) / each
            )
            async with run.crowd(server, run.crowding(1)):
                pass
            with_envoy = await _resident(server)
            run.result.add(
                case | {"holds": "one Envoy"}, OURS, what, "B", (with_envoy - rss["before"]) / each
            )


async def _streams(run: Run, streams: int) -> None:
    """Let streams come to one server after the other: all at a time would be too much for a laptop."""
    async with run.servers(Estate(services=1, instances=1)) as (servers, _):
        # Go's keep the whole node of each stream: at 20,000 that is more memory than a laptop has.
        for server in servers if streams <= _FEW else [one for one in servers if one.name in _SMALL]:
            with run.attempt(f"{streams} idle streams on {server.name}"):
                grown = await _grown(run, server, streams)
                run.result.add(
                    {"streams": streams}, server.name, "memory of an idle stream", "kB", grown / 1000
                )


async def _grown(run: Run, server: Server, streams: int) -> float:
    """Give the bytes the server grew by for each stream after the first."""
    async with run.crowd(server, run.crowding(_FIRST, each=_EACH)):
        before = await _resident(server)
        crowding = run.crowding(streams, each=_EACH)
        async with run.crowd(server, crowding):
            return (await _resident(server) - before) / crowding.streams


async def _resident(server: Server) -> int:
    """Give the resident bytes of a server at rest."""
    await asyncio.sleep(_REST)
    return int((await server.child.ask("rss", "rss", collect=True))["bytes"])
