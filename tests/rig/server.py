"""`xds-server serve` as a process of its own, on ports of its own, that can be killed and come back."""

import json
import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.process import Process


class Metrics:
    """One scrape of /metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Add up the samples of a name that have these labels."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


class XdsServer:
    """One xds-server. `source` is `--consul URL` or `--catalog FILE`; `settings` is the settings file.

    What the settings say of `xds` and `admin` is kept; the addresses come from here.
    """

    def __init__(
        self,
        directory: Path,
        source: tuple[str, str],
        settings: dict[str, Any] | None = None,
        *,
        name: str = "xds-server",
    ) -> None:
        self.port = free_port()
        self.admin_port = free_port()
        self.settings_file = directory / f"{name}.yaml"
        # No setting of the machine's own environment may reach the server under test.
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("CONSUL_", "XDS_"))}
        # The admin socket is not to be left in /tmp by a server that is killed.
        clean["XDG_RUNTIME_DIR"] = str(directory)
        self.process = Process(directory / f"{name}.log", clean)
        self._source = source
        self._admin: aiohttp.ClientSession | None = None
        self.write_settings(settings or {})

    @property
    def address(self) -> tuple[str, int]:
        """Where Envoys connect."""
        return "127.0.0.1", self.port

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Replace the settings file, as one step."""
        self.write_settings_text(yaml.safe_dump(settings))

    def write_settings_text(self, text: str) -> None:
        """Replace the settings file by any text, as one step."""
        fresh = self.settings_file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.settings_file)

    def command(self) -> list[str]:
        """Give the command line."""
        command = [sys.executable, "-m", "xds_server", "serve", "--config", str(self.settings_file)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}"]
        return [*command, *self._source, "--log-form", "json", "--log-level", "debug"]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *, ready_within: float | None = 60.0) -> None:
        """Start it and wait until it has a snapshot; with `ready_within=None` only until it listens."""
        if self._admin is None:
            self._admin = aiohttp.ClientSession(f"http://127.0.0.1:{self.admin_port}")
        await self.process.start(self.command())
        path = "/healthz" if ready_within is None else "/readyz"
        try:
            await eventually(lambda: self.status(path), (200).__eq__, within=ready_within or 60.0, every=0.01)
        except AssertionError as error:
            raise AssertionError(f"xds-server: {error}; its log: {self.process.output[-3000:]}") from None

    async def kill(self) -> None:
        """End it with kill -9."""
        await self.process.end(signal.SIGKILL)

    async def stop(self) -> None:
        """Make sure that it is gone; doing it twice is harmless."""
        await self.process.kill()
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    async def status(self, path: str) -> int:
        """Give the HTTP status of a path of the admin port."""
        assert self._admin is not None, "the server was not started"
        async with self._admin.get(path) as answer:
            return answer.status

    async def text(self, path: str) -> str:
        """Give the body of a path of the admin port."""
        assert self._admin is not None, "the server was not started"
        async with self._admin.get(path) as answer:
            return await answer.text()

    async def problems(self) -> list[dict[str, Any]]:
        """Give what /problems lists."""
        problems: list[dict[str, Any]] = json.loads(await self.text("/problems"))["problems"]
        return problems

    async def metrics(self) -> Metrics:
        """Scrape /metrics."""
        return Metrics(await self.text("/metrics"))

    async def sent(self) -> float:
        """Give how many responses it has sent since it was started."""
        return (await self.metrics()).total("xds_responses_total")

    def events(self, event: str) -> list[dict[str, Any]]:
        """Give the log lines of one event, over restarts as well."""
        lines = [json.loads(line) for line in self.process.output.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]
