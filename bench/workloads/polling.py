"""Polling: a client asks for all clusters over REST, with nothing in hand.

xds-server answers it on its admin port; sovereign, which is made for it, in one process of uvicorn. Both have
the services from a file. Each poll is one request over a connection that is kept; by turns, each a row of
polls. Streams are what xds-server is made for, so this compares the one thing that both do.

    CPU of a poll               processor time of the server's process
    time of a poll              from the request to the whole answer
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from bench import estate
from bench.child import Child, ChildError
from bench.figures import OURS
from bench.run import Run
from tests.rig.ports import free_port

_PEER: Final = "sovereign"
_ROOT: Final = Path(__file__).parents[2]
_PYTHON: Final = _ROOT / ".tools" / "bench" / "python" / "bin" / "python"
_TEMPLATE: Final = _ROOT / "bench" / "polled.py"
_POLLS: Final = 5
_UP_WITHIN: Final = 60.0
_ASKED: Final = {"node": {"id": "bench", "cluster": "bench"}}


async def run(run: Run) -> None:
    """Run 100 and 1,000 services."""
    for services in (100, 1_000):
        with run.attempt(f"{services} services"):
            await _measure(run, services)


async def _measure(run: Run, services: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        names = [estate.name_of(number) for number in range(services)]
        servers = [await stack.enter_async_context(_ours(run.directory, names))]
        if _PYTHON.exists():
            servers.append(await stack.enter_async_context(_sovereign(run.directory, names)))
        else:
            run.result.note(f"{_PEER} is missing: it is not installed (`make bench` says how)")
        for turn in range(run.choose(4, 10)):
            for child, url in servers:
                cpu, started = child.cpu, time.perf_counter()
                found = await _polls(url)
                if found != services:
                    raise ChildError(f"{child.name} gave {found} clusters, not {services}")
                if turn:
                    case, taken = {"services": services}, time.perf_counter() - started
                    run.result.add(case, child.name, "CPU of a poll", "ms", 1000 * (child.cpu - cpu) / _POLLS)
                    run.result.add(case, child.name, "time of a poll", "ms", 1000 * taken / _POLLS)


async def _polls(url: str) -> int:
    """Poll some times; give how many resources the last answer has."""
    found: dict[str, Any] = {}
    async with aiohttp.ClientSession() as client:
        for _ in range(_POLLS):
            async with client.post(url, json=_ASKED) as answer:
                answer.raise_for_status()
                found = json.loads(await answer.read())
    return len(found["resources"])


@contextlib.asynccontextmanager
async def _ours(directory: Path, names: list[str]) -> AsyncIterator[tuple[Child, str]]:
    catalog, port = directory / "catalog.yaml", free_port()
    services = {name: {"instances": [{"address": "10.0.0.1", "port": 80}]} for name in names}
    catalog.write_text(yaml.safe_dump({"services": services}))
    command = [sys.executable, "-m", "xds_server", "serve", "--catalog", str(catalog)]
    command += ["--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{port}"]
    async with Child(OURS, command) as child:
        yield child, await _up(child, port)


@contextlib.asynccontextmanager
async def _sovereign(directory: Path, names: list[str]) -> AsyncIterator[tuple[Child, str]]:
    source, settings, port = directory / "services.json", directory / "sovereign.yaml", free_port()
    source.write_text(json.dumps([{"name": name, "service_clusters": ["*"]} for name in names]))
    given = {
        "templates": {"default": {"clusters": f"python://{_TEMPLATE}"}},
        "sources": [{"type": "file", "config": {"path": f"file+json://{source}"}}],
    }
    settings.write_text(yaml.safe_dump(given))
    command = [str(_PYTHON), str(_TEMPLATE), str(port)]
    environment = {**os.environ, "SOVEREIGN_CONFIG": f"file://{settings}", "PYTHONPATH": ""}
    async with Child(_PEER, command, environment) as child:
        yield child, await _up(child, port)


async def _up(child: Child, port: int) -> str:
    """Wait until a server answers a poll; give where. Raises ChildError."""
    url = f"http://127.0.0.1:{port}/v3/discovery:clusters"
    try:
        async with asyncio.timeout(_UP_WITHIN):
            while True:
                with contextlib.suppress(aiohttp.ClientError, KeyError, ValueError):
                    await _polls(url)
                    return url
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ChildError(f"{child.name}: it answered no poll within {_UP_WITHIN:g} s") from None
