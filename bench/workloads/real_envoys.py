"""The load generator beside real Envoys: what one of each costs xds-server.

One endpoint changes of a state of 1 kB, as in W1, with 1 and with 3 clients: Envoys on one server, streams
of the load generator on another, by turns. If the generator behaves like Envoy, both cost the same.

    CPU of a change             processor time of the server's process, until every client has it
"""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.run import Run, row
from bench.servers import Estate, Server, Step, ours
from tests.rig.envoy import Envoy

_ESTATE: Final = Estate(services=1, instances=33)
_UPDATES: Final = "cluster.service-00000.update_success"
_POLL: Final = 0.01
_WITHIN: Final = 20.0
_PAUSE: Final = 0.1


async def run(run: Run) -> None:
    """Run both variants with both numbers of clients."""
    for variant in ("delta", "sotw"):
        for clients in (1, 3):
            with run.attempt(f"{clients} clients, {variant}"):
                await _measure(run, variant, clients)


async def _measure(run: Run, variant: str, clients: int) -> None:
    case = {"clients": clients, "variant": variant}
    async with contextlib.AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(ours()) for _ in range(2)]
        await one.fill(_ESTATE)
        await other.fill(_ESTATE)
        away, back = await one.steps(run.directory, [0])
        steps = (away + back) * 3
        envoys = await _envoys(run.directory / f"{variant}-{clients}", stack, one, variant, clients)
        crowd = await stack.enter_async_context(run.crowd(other, run.crowding(clients, variant=variant)))
        for turn in range(run.choose(4, 10)):
            cpu = await _changes(one, envoys, steps)
            taken = await row(other, crowd, steps)
            if turn:
                run.result.add(case, "real Envoys", "CPU of a change", "ms", 1000 * cpu / len(steps))
                run.result.add(case, "load streams", "CPU of a change", "ms", 1000 * taken.cpu / len(steps))


async def _envoys(
    directory: Path, stack: contextlib.AsyncExitStack, server: Server, variant: str, clients: int
) -> Sequence[Envoy]:
    """Start Envoys that say the same of themselves as the load generator does."""
    directory.mkdir()
    found = []
    for number in range(clients):
        envoy = Envoy(
            directory,
            servers=[("127.0.0.1", server.port)],
            mode=variant,
            node=f"bench-{number}",
            amend=_of_one_group,
        )
        found.append(await stack.enter_async_context(envoy))
    return found


def _of_one_group(bootstrap: dict[str, Any]) -> None:
    """Let all have the same port in their metadata: it makes them one group, as the load streams are."""
    bootstrap["node"]["metadata"]["envoy_admin_port"] = 19_000


async def _changes(server: Server, envoys: Sequence[Envoy], steps: Sequence[Step]) -> float:
    """Let the server take changes, each when every Envoy has the one before; give the seconds of CPU."""
    cpu = server.child.cpu
    for step in steps:
        await asyncio.sleep(_PAUSE)
        before = [await envoy.stat(_UPDATES) for envoy in envoys]
        await server.take(step)
        async with asyncio.timeout(_WITHIN):
            while any([await one.stat(_UPDATES) <= known for one, known in zip(envoys, before, strict=True)]):
                await asyncio.sleep(_POLL)
    return server.child.cpu - cpu
