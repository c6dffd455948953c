"""A crowd of streams on one server, by the Go load generator or, where there is none, by the Python one."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bench.child import Child, ChildError, Event

GENERATOR: Final = Path(__file__).parents[1] / ".tools" / "bench" / "load"
"""The Go load generator, as `make bench` builds it."""

METADATA: Final = {"envoy_admin_port": 19_000, "static_clusters": ["xds_cluster"]}
"""What a node says of itself, as the generated bootstrap has it."""

PYTHON_MOST: Final = 200
"""How many streams the Python generator is good for."""

SLOW: Final = (
    "the load generator is the Python one, as there is no Go: it costs more than what it measures, "
    f"so no more than {PYTHON_MOST} streams are opened, and times say little"
)
_PATIENCE: Final = 100.0
"""Seconds within which a stream has everything there is, or never."""

_REST: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowding:
    """How a crowd is: streams, variant, streams of a connection, groups (0: none), seconds to arrive in."""

    streams: int
    variant: str = "delta"
    each: int = 1
    groups: int = 0
    over: float = 0.0

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return -(-self.streams // self.each)


def has_go() -> bool:
    """Tell whether the Go load generator is there."""
    return GENERATOR.exists()


class Crowd:
    """So many streams that subscribe like Envoys and acknowledge everything.

    async with Crowd(port, Crowding(streams=100)) as crowd:
        marked = await crowd.mark("eds")
        ...
        event = await marked
    """

    def __init__(self, port: int, crowding: Crowding, *, python: bool = False) -> None:
        self.crowding = crowding
        own = crowding
        generator = [sys.executable, "-m", "bench.generator"]
        command = generator if python or not has_go() else [str(GENERATOR)]
        command += ["--target", f"127.0.0.1:{port}", "--streams", str(own.streams)]
        command += ["--connections", str(own.connections), "--variant", own.variant]
        command += ["--groups", str(own.groups), "--over", str(own.over)]
        command += ["--node-metadata", json.dumps(METADATA), "--cluster", "bench"]
        command += ["--patience", str(_PATIENCE)]
        self.child = Child("load generator", command)
        self.ready_ms: list[float] = []

    async def __aenter__(self) -> Self:
        """Open the streams, and return when each holds everything. Raises ChildError."""
        await self.child.__aenter__()
        try:
            ready = await self.child.event("ready", within=_PATIENCE + self.crowding.over + _REST)
        except BaseException:
            await self.child.__aexit__(None, None, None)
            raise
        self.ready_ms = ready["ready_ms"]
        if ready.get("missing"):
            await self.child.__aexit__(None, None, None)
            raise ChildError(f"{ready['missing']} of {self.crowding.streams} streams were never served whole")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.child.__aexit__(kind, error, trace)

    async def mark(self, short: str, expect: int | None = None) -> asyncio.Task[Event]:
        """Begin to count the streams that receive a type; give what is done when `expect`, or all, did."""
        streams = expect or self.crowding.streams
        number = await self.child.tell("mark", type=short, expect=streams)
        await self.child.event("marking", number=number)
        return asyncio.create_task(self.child.event("marked", number=number))

    async def settled(self, quiet: float = 0.3) -> int:
        """Wait until nothing was received for so many seconds; give when the last was (Unix ns)."""
        found = await self.child.ask("settled", "settled", quiet_ms=int(1000 * quiet), within=_PATIENCE)
        return int(found["last_at"])

    async def count(self) -> dict[str, dict[str, int]]:
        """Give the `responses`, `resources` and `bytes` of each type since the count before."""
        return dict(await self.child.ask("count", "counted"))

    async def reconnect(self, over: float) -> dict[str, Any]:
        """Break all streams off and let them come back; give `ready_ms`, `bytes`, `resources`, `last_at`."""
        return await self.child.ask("reconnect", "reconnected", over=over, within=_PATIENCE + over)
