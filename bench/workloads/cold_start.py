"""Cold start: 100, 1,000 and 10,000 services x 10 instances, from catalog to snapshot to streams.

A fresh process each time. The catalog is decoded from Consul's answers before the clock starts. Then streams
come in that all ask for everything; the peers serve the same resources, which they read from a file.

    CPU to the first snapshot   processor time from the decoded catalog to the published snapshot
    time to the first snapshot  the same as time
    memory                      resident, after the first snapshot, with what is free given back
    time to serve               from the first connection to the moment the last stream has everything
    CPU to serve                processor time of the server's process for that; with the first stream of a
                                group xds-server makes the snapshot of that group
    CPU, time to listen         `xds-server serve` on a file of one service, from the start of the process on
"""

import asyncio
import contextlib
import sys
import time
from pathlib import Path

from bench.child import Child
from bench.figures import OURS
from bench.run import Run
from bench.servers import Estate, Server, ours, peer
from tests.rig.ports import free_port

_INSTANCES = 10
_CATALOG = "services:\n  user:\n    instances:\n      - {address: 10.0.0.1, port: 80}\n"


async def run(run: Run) -> None:
    """Run all sizes, and then the start of the command itself."""
    trials = run.choose(3, 5)
    with run.attempt("from the start of the process to listening"):
        await _listen(run, trials)
    for services in (100, 1_000, 10_000):
        streams = run.choose({100: 200, 1_000: 50, 10_000: 5}, {100: 1_000, 1_000: 200, 10_000: 50})[services]
        for trial in range(trials):
            with run.attempt(f"{services} services, {streams} streams, trial {trial + 1} of {trials}"):
                await _trial(run, services, streams)


async def _trial(run: Run, services: int, streams: int) -> None:
    resources = run.directory / "all.pb"
    case = {"services": services}
    async with ours() as server:
        built = await server.fill(Estate(services=services, instances=_INSTANCES))
        run.result.add(case, OURS, "CPU to the first snapshot", "s", built["cpu"])
        run.result.add(case, OURS, "time to the first snapshot", "s", built["wall"])
        run.result.add(case, OURS, "memory", "MB", built["rss"]["after"] / 1e6)
        await server.dump(resources)
        await _serve(run, server, case, streams)
    for name in run.peers():
        async with peer(name, resources) as server:
            await _serve(run, server, case, streams)


async def _serve(run: Run, server: Server, case: dict[str, int], streams: int) -> None:
    crowding = run.crowding(streams)
    cpu = server.child.cpu
    async with run.crowd(server, crowding) as crowd:
        words = case | {"streams": crowding.streams}
        run.result.add(words, server.name, "time to serve", "s", max(crowd.ready_ms) / 1000)
        run.result.add(words, server.name, "CPU to serve", "s", server.child.cpu - cpu)


async def _listen(run: Run, trials: int) -> None:
    catalog = run.directory / "catalog.yaml"
    catalog.write_text(_CATALOG)
    for trial in range(trials + 1):
        cpu, seconds = await _start(catalog)
        # The first one reads the code from disk.
        if trial:
            run.result.add({}, OURS, "CPU to listen", "s", cpu)
            run.result.add({}, OURS, "time to listen", "s", seconds)


async def _start(catalog: Path) -> tuple[float, float]:
    """Start the command; give CPU and seconds until its port is open."""
    port, started = free_port(), time.monotonic()
    command = [sys.executable, "-m", "xds_server", "serve", "--catalog", str(catalog)]
    command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{free_port()}"]
    async with Child(OURS, command) as child, asyncio.timeout(30):
        while not await _is_open(port):
            await asyncio.sleep(0.005)
        return child.cpu, time.monotonic() - started


async def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
