"""How long the server takes from its start until its ports answer.

    python -m bench.startup [--trials 5] [--services 100] [--modules]

`xds-server serve` with a catalog file, from exec until the xDS port takes a connection, and until `/readyz`
says ready: the time on the clock, and the processor's time of the process. The first trial is left out.
With `--modules` it prints instead what the imports cost, by package.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click

from tests.rig.ports import free_port

_LONGEST: Final = 60.0
_POLL: Final = 0.002
_IMPORTED: Final = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
_SHOWN: Final = 30
_SERVED: Final = "import xds_server.cli.serve, xds_server.app.serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds from exec to a port that takes connections, to ready, and of the processor until then."""

    listening: float
    listening_cpu: float
    ready: float
    ready_cpu: float


def cpu_of(pid: int) -> float:
    """Give the seconds of processor that all threads of a process have had."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in tasks) / 1e9


def write_catalog(path: Path, services: int) -> None:
    """Write a catalog of so many services with two instances each."""
    names = [f"service-{number:05}" for number in range(services)]
    instances = [{"address": "10.0.0.1", "port": 80}, {"address": "10.0.0.2", "port": 80}]
    shape = {name: {"instances": instances} for name in names}
    path.write_text(json.dumps({"services": shape}))


def compiled_in(directory: Path) -> dict[str, str]:
    """Give the environment of a program whose modules are compiled once, as those of an installed one are."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(directory / "compiled")}


@contextlib.contextmanager
def server(catalog: Path, xds: int, admin: int) -> Iterator[int]:
    """Run the server, and give its process id."""
    addresses = ["--listen", f"127.0.0.1:{xds}", "--admin", f"127.0.0.1:{admin}"]
    command = [sys.executable, "-m", "xds_server", "serve", "--catalog", str(catalog), *addresses]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=compiled_in(catalog.parent)) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def seconds_until(works: Callable[[], bool], since: float) -> float:
    """Wait until something works; give the seconds since then. Raises TimeoutError."""
    while not works():
        if time.perf_counter() - since > _LONGEST:
            raise TimeoutError
        time.sleep(_POLL)
    return time.perf_counter() - since


def takes_connections(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_ready(port: int) -> bool:
    """Tell whether the server says that it is ready."""
    asked = http.client.HTTPConnection("127.0.0.1", port)
    try:
        asked.request("GET", "/readyz")
        return asked.getresponse().status == 200
    except OSError:
        return False
    finally:
        asked.close()


def start(catalog: Path) -> Start:
    """Start a server once."""
    xds, admin = free_port(), free_port()
    began = time.perf_counter()
    with server(catalog, xds, admin) as pid:
        listening = seconds_until(lambda: takes_connections(xds), began)
        listening_cpu = cpu_of(pid)
        ready = seconds_until(lambda: is_ready(admin), began)
        return Start(listening=listening, listening_cpu=listening_cpu, ready=ready, ready_cpu=cpu_of(pid))


def show_modules() -> None:
    """Print what the imports of `serve` cost, by package."""
    command = [sys.executable, "-X", "importtime", "-c", _SERVED]
    with tempfile.TemporaryDirectory() as directory:
        run = partial(subprocess.run, command, env=compiled_in(Path(directory)), check=True)
        run(capture_output=True)
        printed = run(capture_output=True, text=True).stderr
    own, modules = Counter[str](), Counter[str]()
    for microseconds, name in _IMPORTED.findall(printed):
        package = ".".join(name.split(".")[: 2 if name.startswith("xds_server.") else 1])
        own[package] += int(microseconds)
        modules[package] += 1
    print(f"{own.total() / 1000:8.1f} ms {modules.total():5} modules")
    for package, microseconds in own.most_common(_SHOWN):
        print(f"{microseconds / 1000:8.1f} ms {modules[package]:5} {package}")


@click.command()
@click.option("--trials", default=5, show_default=True, help="Starts that count, after one that does not.")
@click.option("--services", default=100, show_default=True, help="Services in the catalog file.")
@click.option("--modules", is_flag=True, help="Print what the imports cost instead.")
def main(trials: int, services: int, *, modules: bool) -> None:
    """Print the medians in seconds."""
    if modules:
        show_modules()
        return
    with tempfile.TemporaryDirectory() as directory:
        catalog = Path(directory) / "catalog.yaml"
        write_catalog(catalog, services)
        starts = [asdict(start(catalog)) for _ in range(trials + 1)][1:]
    medians = {key: round(statistics.median(one[key] for one in starts), 3) for key in starts[0]}
    print(json.dumps({"services": services, "trials": trials, "seconds": medians}))


if __name__ == "__main__":
    main()
