"""The servers that are compared: xds-server and its peers, each a process that takes the same commands.

    xds-server   `bench.target`: from the decoded catalog on
    linear       go-control-plane, a linear cache for each type (`bench/load`)
    snapshot     go-control-plane, its snapshot cache (`bench/load`)
    bare         `bench.bare`: grpc.aio that only sends ready-made bytes: the limit of what is in Python's
                 reach

The peers are fed with the resources that xds-server makes of the catalog, ready to be sent: what a control
plane has to do before, to find out what its resources are, only xds-server does.
"""

import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.child import Child, ChildError, Event
from bench.figures import OURS

_TOOLS: Final = Path(__file__).parents[1] / ".tools" / "bench"
_BARE: Final = Path(__file__).parent / "bare.py"
_LONG: Final = 170.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change: the command that moves xds-server, and the file with the same, for the peers."""

    command: dict[str, Any]
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What is served: services and instances of each; with `gateways`, groups of some upstreams each."""

    services: int
    instances: int
    gateways: int = 0
    upstreams: int = 10


class Server:
    """One of them, running."""

    def __init__(self, child: Child, port: int) -> None:
        self.name = child.name
        self.child = child
        self.port = port

    async def take(self, step: Step) -> Event:
        """Let it take a change; give `started_at` and `at` (Unix ns). Raises ChildError."""
        return await self.child.event("set", number=await self.send(step), within=_LONG)

    async def send(self, step: Step) -> int:
        """Tell it a change, and do not wait; give the number of the command. Raises ChildError."""
        return await self.child.tell("set", file=str(step.file))

    async def settle(self) -> None:
        """Wait until everything that changed is in its snapshots; a peer's are there when it answers."""


class Ours(Server):
    """xds-server."""

    async def fill(self, estate: Estate) -> Event:
        """Give it a catalog; give what it took until the first snapshot."""
        fields = {"services": estate.services, "instances": estate.instances}
        if estate.gateways:
            fields |= {"gateways": estate.gateways, "upstreams": estate.upstreams}
        return await self.child.ask("catalog", "built", within=_LONG, **fields)

    async def send(self, step: Step) -> int:
        """Tell it a change of its catalog."""
        return await self.child.tell(**step.command)

    async def add(self, service: int) -> None:
        """Let the service of that number join the catalog, and wait until it is in the snapshots."""
        await self.child.ask("add", "set", service=service)
        await self.settle()

    async def remove(self, service: int) -> None:
        """Let it leave again, and wait for that."""
        await self.child.ask("remove", "set", service=service)
        await self.settle()

    async def settle(self) -> None:
        """Wait until everything that changed is in the snapshots."""
        await self.child.ask("settle", "quiet", within=_LONG)

    async def dump(self, file: Path, **which: Any) -> Path:
        """Write its resources: all, or those of a `type` (`eds`, ...), or some `names` of it."""
        await self.child.ask("dump", "dumped", file=str(file), within=_LONG, **which)
        return file

    async def dump_groups(self, directory: Path) -> None:
        """Write what each connected gateway is served to `<gateway>.pb`."""
        directory.mkdir(exist_ok=True)
        await self.child.ask("dump_groups", "dumped", directory=str(directory), within=_LONG)

    async def steps(self, directory: Path, services: Sequence[int]) -> tuple[list[Step], list[Step]]:
        """Move an instance of each service and move it back, with files; give both rows of steps."""
        away, back = [], []
        for row, word in ((away, "away"), (back, "back")):
            for number in services:
                command = {"do": "change", "service": number}
                row.append(Step(command=command, file=directory / f"{word}-{number}.pb"))
                await self.child.ask(**command, answer="set")
            await self.settle()
            for step in row:
                name = f"service-{step.command['service']:05}"
                await self.dump(step.file, type="eds", names=[name])
        return away, back


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[Ours]:
    """Start xds-server; it serves nothing yet."""
    async with Child(OURS, [sys.executable, "-m", "bench.target"]) as child:
        yield Ours(child, (await child.event("listening"))["port"])


def commands(groups: int) -> dict[str, list[str] | None]:
    """Give the command of each peer by its name; None where it is not installed."""
    peer = _TOOLS / "peer"
    found: dict[str, list[str] | None] = {
        name: [str(peer), "--cache", name, "--groups", str(groups), "--listen", "127.0.0.1:0"]
        if peer.exists()
        else None
        for name in ("linear", "snapshot")
    }
    found["bare"] = [sys.executable, "-m", "bench.bare"] if _BARE.exists() else None
    return found


@contextlib.asynccontextmanager
async def peer(name: str, resources: Path, groups: int = 1) -> AsyncIterator[Server]:
    """Start a peer on the resources of a file. Raises ChildError where it is not installed."""
    command = commands(groups)[name]
    if command is None:
        raise ChildError(f"{name} is not installed: `make bench` builds it where there is Go")
    async with Child(name, [*command, "--resources", str(resources)]) as child:
        yield Server(child, (await child.event("listening", within=_LONG))["port"])
