"""A real Consul agent for tests, on free ports of the loopback interface.

    async with ConsulAgent() as agent:
        await agent.register("user", port=8080, weights=(1, 1))

It ends with `stop`, or the `async with`; nothing stays behind, neither process nor data.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from tests.rig.consul_api import ConsulApi

_ROOT = Path(__file__).resolve().parents[2]
_PORTS = ("http", "server", "serf_lan", "serf_wan")
_START_TRIES = 3
_START_SECONDS = 20.0
MISSING = "no Consul agent: set CONSUL_BIN, put `consul` on PATH, or run scripts/fetch-consul"


def find_consul() -> Path | None:
    """Give the Consul binary: $CONSUL_BIN, then PATH, then .tools/bin/consul; None without one."""
    named = os.environ.get("CONSUL_BIN")
    found = named or shutil.which("consul") or str(_ROOT / ".tools/bin/consul")
    return Path(found) if os.access(found, os.X_OK) else None


def free_ports(count: int) -> list[int]:
    """Give ports of 127.0.0.1 that nobody listens on now, neither by TCP nor by UDP (serf needs both)."""
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


class ConsulAgent(ConsulApi):
    """One `consul agent -dev`: a server and its own leader.

    `hcl` are further fragments of its configuration, e.g. for ACLs; `token` goes with every call that this
    class makes. `http_port` fixes the HTTP port, so that an agent can come back where one was.
    """

    def __init__(
        self, *, hcl: Sequence[str] = (), token: str | None = None, http_port: int | None = None
    ) -> None:
        super().__init__(token=token)
        self._hcl = tuple(hcl)
        self.http_port = http_port
        self._fixed_port = http_port
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> Self:
        """Start the agent and wait until it leads and its own `consul` service can be read.

        Raises RuntimeError with the end of its output if it does not come up.
        """
        if (binary := find_consul()) is None:
            raise RuntimeError(MISSING)
        self.open()
        said = ""
        for _ in range(_START_TRIES):  # a port that was free may be taken a moment later
            self._launch(binary)
            if await self._is_up():
                return self
            said = self._output()[-2000:]
            await self._end_process()
        await self.stop()
        raise RuntimeError(f"the Consul agent did not come up: {said}")

    async def stop(self) -> None:
        """End the agent and remove its data; doing it twice is harmless."""
        await self.close()
        await self._end_process()

    def _launch(self, binary: Path) -> None:
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        if self._fixed_port is not None:
            ports["http"] = self._fixed_port
        self.http_port = ports["http"]
        self.ports = ports
        self._directory = Path(tempfile.mkdtemp(prefix="xds-consul-"))
        listed = " ".join(f"{name} = {port}" for name, port in ports.items())
        # Off: what tests do not ask, and the update check, which would leave the machine.
        fragments = (
            f"ports {{ {listed} dns = -1 grpc = -1 https = -1 }}",
            "disable_update_check = true",
            "limits { http_max_conns_per_client = 1000 }",
            *self._hcl,
        )
        command = [str(binary), "agent", "-dev", "-server", "-bind", "127.0.0.1", "-client", "127.0.0.1"]
        command += ["-node", "test-node", "-log-level", "warn"]
        for fragment in fragments:
            command += ["-hcl", fragment]
        with (self._directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self._directory, start_new_session=True
            )

    async def _is_up(self) -> bool:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                return False
            with contextlib.suppress(aiohttp.ClientError, RuntimeError):
                if await self.get("/v1/status/leader") and await self.get("/v1/health/service/consul"):
                    return True
            await asyncio.sleep(0.05)
        return False

    def _output(self) -> str:
        assert self._directory is not None
        return (self._directory / "log").read_text(errors="replace")

    async def _end_process(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            if process.poll() is None:
                process.kill()
            await asyncio.to_thread(process.wait)
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
