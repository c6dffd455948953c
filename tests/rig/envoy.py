"""A real Envoy on loopback, configured by our own bootstrap, and read through its admin port.

async with Envoy(directory, servers=[("127.0.0.1", 18000)], mode="delta") as envoy:
    hosts = (await envoy.clusters())["user"]
"""

import asyncio
import functools
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.process import Process
from xds_server.demo.binaries import find_envoy
from xds_server.translate.bootstrap import BootstrapOptions, bootstrap
from xds_server.translate.render import to_dict

_FLAGS = ("--use-dynamic-base-id", "-l", "warning", "--log-format", "%v")


@functools.cache
def envoy_version() -> tuple[int, int]:
    """Give the major and minor version of the Envoy under test."""
    said = subprocess.run([find_envoy(), "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, _ = said.partition("version:")[2].split("/")[1].split(".")
    return int(major), int(minor)


@dataclass(frozen=True, slots=True)
class Host:
    """One endpoint as Envoy sees it: what we said of it (`eds`), and what Envoy found out (`ejected`)."""

    eds: str
    ejected: bool
    weight: int


class Envoy:
    """One Envoy. `servers` are the xds-servers in its bootstrap, `mode` is `delta` or `sotw`.

    `amend` may change its bootstrap, a dict of Envoy's field names, before it is written; `options` are
    further `BootstrapOptions`, e.g. `tls` or `load_stats`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        servers: Sequence[tuple[str, int]],
        mode: str,
        node: str = "edge-1",
        amend: Callable[[dict[str, Any]], None] | None = None,
        admin_port: int | None = None,
        **options: Any,
    ) -> None:
        self.admin_port = admin_port or free_port()
        self.flags = _FLAGS
        self._options = BootstrapOptions(
            id=node,
            cluster="edge",
            servers=tuple(servers),
            admin_port=self.admin_port,
            delta=mode == "delta",
            **options,
        )
        self._amend = amend
        self._bootstrap = directory / f"{node}.json"
        self.process = Process(directory / f"{node}.log")
        self._admin: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *, live_within: float | None = 10.0) -> None:
        """Start it and wait until /ready says LIVE; with `live_within=None` only start it."""
        config = to_dict(bootstrap(self._options))
        if self._amend is not None:
            self._amend(config)
        self._bootstrap.write_text(json.dumps(config))
        self._admin = aiohttp.ClientSession(f"http://127.0.0.1:{self.admin_port}")
        await self.process.start(
            [str(find_envoy()), "-c", str(self._bootstrap), "--concurrency", "1", *self.flags]
        )
        if live_within is not None:
            await self.live(live_within)

    async def stop(self) -> None:
        """End it; doing it twice is harmless."""
        await self.process.kill()
        if self._admin is not None:
            await self._admin.close()

    async def live(self, within: float = 10.0) -> None:
        """Wait until it has its first configuration. Raises AssertionError with its log if it has not."""
        try:
            await eventually(self.ready, "LIVE".__eq__, within=within, every=0.01)
        except AssertionError as error:
            raise AssertionError(f"Envoy: {error}; its log: {self.process.output[-3000:]}") from None

    async def ready(self) -> str:
        """Give the state in /ready: LIVE, PRE_INITIALIZING, ..."""
        return (await self._text("/ready")).strip()

    async def clusters(self) -> dict[str, dict[str, Host]]:
        """Give every cluster with its hosts by `ip:port`."""
        body = json.loads(await self._text("/clusters?format=json"))
        return {
            cluster["name"]: {_address(host): _host(host) for host in cluster.get("host_statuses", ())}
            for cluster in body.get("cluster_statuses", ())
        }

    async def hosts(self, cluster: str) -> dict[str, Host]:
        """Give the hosts of one cluster; none if it is not there."""
        return (await self.clusters()).get(cluster, {})

    async def stats(self, pattern: str) -> dict[str, int]:
        """Give the counters and gauges whose names match a regular expression."""
        text = await self._text("/stats", filter=pattern)
        pairs = (line.rpartition(": ") for line in text.splitlines())
        return {name: int(value) for name, _, value in pairs if value.isdigit()}

    async def stat(self, name: str) -> int:
        """Give one counter or gauge; 0 if Envoy has none of that name (yet)."""
        return (await self.stats(f"^{name.replace('.', '[.]')}$")).get(name, 0)

    async def updates(self) -> dict[str, int]:
        """Give how often each subscription was updated; a rejected update fails the test."""
        refused = {name: n for name, n in (await self.stats("update_rejected$")).items() if n}
        assert not refused, f"Envoy refused: {refused}; its log: {self.process.output[-3000:]}"
        return await self.stats("(cds|lds|rds|sds|cluster).*update_success$")

    async def waits(self) -> list[str]:
        """Give what it waited for in vain so far, and what is still warming in a second from now."""
        stats = await self.stats("init_fetch_timeout$")
        found = [f"{name} is {count}" for name, count in stats.items() if count]
        warming = "cluster_manager.warming_clusters"
        try:
            await eventually(lambda: self.stat(warming), (0).__eq__, within=1.0)
        except AssertionError as error:
            found.append(f"{warming}: {error}")
        return found

    async def config_dump(self) -> dict[str, Any]:
        """Give /config_dump with the endpoints, each section by the last word of its type."""
        body = json.loads(await self._text("/config_dump?include_eds"))
        return {section["@type"].rpartition(".")[2]: section for section in body["configs"]}

    async def _text(self, path: str, **query: str) -> str:
        assert self._admin is not None, "the Envoy is not running"
        async with self._admin.get(path, params=query or None) as answer:
            return await answer.text()


async def validate(config: Path) -> str:
    """Run `envoy --mode validate` on a file; give what it objects to, empty if nothing."""
    process = await asyncio.create_subprocess_exec(
        str(find_envoy()),
        *("--mode", "validate", "-c", str(config), *_FLAGS),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return "" if process.returncode == 0 else output.decode(errors="replace")


def _address(host: dict[str, Any]) -> str:
    socket = host["address"]["socket_address"]
    return f"{socket['address']}:{socket['port_value']}"


def _host(host: dict[str, Any]) -> Host:
    health = host.get("health_status", {})
    return Host(
        eds=health.get("eds_health_status", "HEALTHY"),
        ejected=health.get("failed_outlier_check", False),
        weight=host.get("weight", 1),
    )
