"""A real Consul agent for tests, on free ports of the loopback interface.

    async with ConsulAgent() as agent:
        await agent.register("user", port=8080, weights=(1, 1))

It ends with `stop`, or the `async with`; nothing stays behind, neither process nor data.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

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


class ConsulAgent:
    """One `consul agent -dev`: a server and its own leader.

    `hcl` are further fragments of its configuration, e.g. for ACLs; `token` goes with every call that this
    class makes. `http_port` fixes the HTTP port, so that an agent can come back where one was.
    """

    def __init__(
        self, *, hcl: Sequence[str] = (), token: str | None = None, http_port: int | None = None
    ) -> None:
        self._hcl = tuple(hcl)
        self._headers = {"X-Consul-Token": token} if token else {}
        self.http_port = http_port
        self._fixed_port = http_port
        self.process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """The agent's HTTP address, e.g. `http://127.0.0.1:41234`."""
        return f"http://127.0.0.1:{self.http_port}"

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
        self._session = aiohttp.ClientSession(
            headers=self._headers, trust_env=False, timeout=aiohttp.ClientTimeout(total=30)
        )
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
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self._end_process()

    async def put(self, path: str, body: Any = None) -> Any:
        """PUT JSON (bytes and text as they are); give the JSON or text answer, raise on an error."""
        return await self._call("PUT", path, body)

    async def get(self, path: str) -> Any:
        """GET a path; give the JSON or text answer, raise on an error."""
        return await self._call("GET", path, None)

    async def register(  # noqa: PLR0913 - the fields of a registration
        self,
        name: str,
        *,
        port: int,
        id: str | None = None,  # noqa: A002 - Consul's own word
        address: str = "127.0.0.1",
        weights: tuple[int, int] | None = None,
        tags: Sequence[str] = (),
        meta: Mapping[str, str] | None = None,
        status: str | None = None,
    ) -> str:
        """Register an instance through the agent and give its id (`<name>-<port>` if none is given).

        `weights` is (passing, warning). With `status` it gets a TTL check in that status, which
        `set_status` changes.
        """
        service_id = f"{name}-{port}" if id is None else id
        body: dict[str, Any] = {
            "Name": name,
            "ID": service_id,
            "Address": address,
            "Port": port,
            "Tags": list(tags),
            "Meta": dict(meta or {}),
        }
        if weights is not None:
            body["Weights"] = {"Passing": weights[0], "Warning": weights[1]}
        if status is not None:
            body["Check"] = {"TTL": "1h", "Status": status}
        await self.put("/v1/agent/service/register", body)
        return service_id

    async def deregister(self, service_id: str) -> None:
        """Take an instance away again."""
        await self.put(f"/v1/agent/service/deregister/{service_id}")

    async def set_status(self, service_id: str, status: str, output: str = "") -> None:
        """Set the TTL check of an instance to `passing`, `warning` or `critical`."""
        await self.put(f"/v1/agent/check/update/service:{service_id}", {"Status": status, "Output": output})

    async def _call(self, method: str, path: str, body: Any) -> Any:
        assert self._session is not None, "the agent is not running"
        data = None if body is None else body if isinstance(body, bytes | str) else json.dumps(body)
        async with self._session.request(method, self.address + path, data=data) as answer:
            text = await answer.text()
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _launch(self, binary: Path) -> None:
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        if self._fixed_port is not None:
            ports["http"] = self._fixed_port
        self.http_port = ports["http"]
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
