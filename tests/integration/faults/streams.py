"""What the faults of streams and of the server's process need beside a world."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.rig.eventually import eventually
from tests.rig.fault_world import SERVICES, FaultWorld
from tests.rig.server import XdsServer

OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
"""Without it all clients of a process share one connection."""


async def start_replicas(world: FaultWorld, **envoy: Any) -> tuple[XdsServer, XdsServer]:
    """Start two servers and an Envoy that knows both; give the one it uses, and the other."""
    await world.register_all()
    first = await world.start_server(ready_within=60.0)
    second = await world.start_server(name="xds-server-2", ready_within=60.0)
    await world.start_envoy(servers=[first.address, second.address], **envoy)
    for service, names in SERVICES.items():
        await world.serving(service, *names)
    await world.begin()
    return (first, second) if await open_streams(first) else (second, first)


async def open_streams(server: XdsServer) -> float:
    """Give how many xDS streams a server has."""
    return (await server.metrics()).total("xds_streams")


async def streams_become(server: XdsServer, number: int, within: float) -> None:
    """Wait until a server has so many streams."""
    await eventually(lambda: open_streams(server), lambda count: count == number, within=within, every=0.1)


def pings(seconds: float) -> Callable[[dict[str, Any]], None]:
    """Give what makes an Envoy's pings so frequent, and its patience so short."""

    def amend(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                amend(one)
        if isinstance(value, dict):
            if "connection_keepalive" in value:
                value["connection_keepalive"] = {"interval": f"{seconds}s", "timeout": f"{seconds}s"}
            for one in value.values():
                amend(one)

    return amend


def memory(server: XdsServer) -> float:
    """Give the resident memory of a server, in MB (proc(5))."""
    lines = (_proc(server) / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def processor_time(server: XdsServer) -> float:
    """Give the seconds of processor time that a server has used (proc(5), fields 14 and 15)."""
    fields = (_proc(server) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _proc(server: XdsServer) -> Path:
    process = server.process._process
    assert process is not None
    return Path("/proc") / str(process.pid)
