"""What a workload is given: how much to do, where to write, whom to compare with; and what all do alike."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from bench.child import ChildError
from bench.crowd import PYTHON_MOST, SLOW, Crowd, Crowding, has_go
from bench.figures import Result
from bench.servers import Estate, Server, Step, commands, ours, peer

T = TypeVar("T")
Pair: TypeAlias = tuple[Server, Crowd]

RESULTS: Final = Path(__file__).parent / "results"

_ARRIVALS: Final = 400
"""How many streams of a crowd arrive in a second: how they arrive is measured where nothing else is."""

_PAUSE: Final = 0.1
"""Seconds between changes, so that each is a lone one: xds-server sends that at once, of a burst the end."""

_LEAST: Final = 3
_MOST: Final = 15
"""How many rows a server is given in a case, whatever time they take."""

_AT_REST: Final = 0.05
"""Seconds in which the last acknowledgements are read, after they were written."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of one workload: `full` is the long one, `only` names the peers (empty: all installed ones)."""

    directory: Path
    result: Result
    full: bool = False
    only: tuple[str, ...] = ()
    python: bool = False
    results: Path = RESULTS
    started: float = field(default_factory=time.monotonic)

    def choose(self, quick: T, full: T) -> T:
        """Give what fits the length of this run."""
        return full if self.full else quick

    def say(self, sentence: str) -> None:
        """Tell how far it is, and save what there is."""
        clock = time.monotonic() - self.started
        load = os.getloadavg()[0]
        print(
            f"  {clock:6.1f} s  load {load:4.1f}  {self.result.workload}: {sentence}",
            file=sys.stderr,
            flush=True,
        )
        self.save()

    def save(self) -> None:
        """Write the result so far."""
        self.results.mkdir(parents=True, exist_ok=True)
        file = self.results / f"{self.result.workload}.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(self.result.to_json(), indent=1, sort_keys=True) + "\n")
        fresh.replace(file)

    @contextlib.contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Tell what is tried; if a process fails in it, note that, and let what follows go on."""
        self.say(what)
        try:
            yield
        except (ChildError, TimeoutError) as error:
            # A limit of the whole workload comes as a cancellation, and passes.
            self.result.failed = "; ".join(filter(None, (self.result.failed, f"{what}: {error}")))
            self.say(f"FAILED: {error}")

    # --- servers and crowds ----------------------------------------------------------------------------

    def crowding(self, streams: int, *, variant: str = "delta", groups: int = 0, each: int = 1) -> Crowding:
        """Describe a crowd; fewer streams than were asked for where the generator is the slow one."""
        if self.python or not has_go():
            if not self.python:
                self.result.note(SLOW)
            streams, groups = min(streams, PYTHON_MOST), min(groups, PYTHON_MOST)
        over = streams / _ARRIVALS
        return Crowding(streams=streams, variant=variant, groups=groups, each=each, over=over)

    def crowd(self, server: Server, crowding: Crowding) -> Crowd:
        """Give a crowd for a server."""
        return Crowd(server.port, crowding, python=self.python)

    @contextlib.asynccontextmanager
    async def crowds(self, servers: Sequence[Server], crowding: Crowding) -> AsyncIterator[list[Pair]]:
        """Let a crowd come to each server; give the servers with their crowds."""
        async with contextlib.AsyncExitStack() as stack:
            pairs = []
            for server in servers:
                self.say(f"{crowding.streams} streams come to {server.name}")
                pairs.append((server, await stack.enter_async_context(self.crowd(server, crowding))))
            yield pairs

    @contextlib.asynccontextmanager
    async def servers(
        self, estate: Estate, services: Sequence[int] = (0,), groups: int = 1
    ) -> AsyncIterator[tuple[list[Server], list[list[Step]]]]:
        """Start xds-server with a catalog, and every peer with the same resources.

        Gives them, ours first, and two rows of steps: one moves the services, the other moves them back.
        """
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(ours())
            await first.fill(estate)
            rows = await first.steps(self.directory, services)
            resources = await first.dump(self.directory / "all.pb")
            started: list[Server] = [first]
            for name in self.peers(groups):
                try:
                    started.append(await stack.enter_async_context(peer(name, resources, groups)))
                except ChildError as error:
                    self.result.note(f"{name} did not start: {error}")
            yield started, list(rows)

    def peers(self, groups: int = 1, only: Sequence[str] = ()) -> list[str]:
        """Name the peers that are compared with, and note who is missing."""
        found = []
        for name, command in commands(groups).items():
            if (self.only and name not in self.only) or (only and name not in only):
                continue
            if command is None:
                self.result.note(f"{name} is missing: it is not installed (`make bench` says how)")
            else:
                found.append(name)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a row of changes took: CPU seconds, and ms from each change to the last stream."""

    cpu: float
    generator: float
    pushes: int
    received: tuple[float, ...]
    acknowledged: tuple[float, ...]
    bytes: int


async def row(server: Server, crowd: Crowd, steps: Sequence[Step], expect: int = 0) -> Row:
    """Let a server take changes of endpoints, each when the last stream has answered the one before.

    `expect` is how many streams a change concerns; 0 for all.
    """
    expected = expect or crowd.crowding.streams
    received, acknowledged, size = [], [], 0
    generator, cpu = crowd.child.cpu, server.child.cpu
    for step in steps:
        await asyncio.sleep(_PAUSE)
        marked = await crowd.mark("eds", expected)
        started = (await server.take(step))["started_at"]
        event = await marked
        received.append((event["last_at"] - started) / 1e6)
        acknowledged.append((event["last_ack_at"] - started) / 1e6)
        size += event["bytes"]
    await asyncio.sleep(_AT_REST)
    return Row(
        cpu=server.child.cpu - cpu,
        generator=crowd.child.cpu - generator,
        pushes=expected * len(steps),
        received=tuple(received),
        acknowledged=tuple(acknowledged),
        bytes=size,
    )


async def in_turn(
    pairs: Sequence[Pair], steps: Sequence[Step], seconds: float, expect: int = 0
) -> list[list[Row]]:
    """Run rows by turns (A B C A B C ...) for so many seconds, three times at least; give them for each pair.

    After the steps everything is where it was, so that the next row has something to change.
    """
    rows: list[list[Row]] = [[] for _ in pairs]
    until = time.monotonic() + seconds
    turn = 0
    while turn < _LEAST or (time.monotonic() < until and turn < _MOST):
        for (server, crowd), found in zip(pairs, rows, strict=True):
            found.append(await row(server, crowd, steps, expect))
        turn += 1
    # The first one warms up: threads, buffers, the pages of memory.
    return [found[1:] for found in rows]
