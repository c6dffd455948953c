"""One real Consul agent with data of its own, which can be killed, paused and started again at its place.

    async with Member(directory) as agent:
        await agent.register("user", port=8080)
        await agent.kill()
        await agent.start()

It is killed with the test run; its data is in the directory it is given.
"""

import shutil
import signal
import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.rig.consul_agent import MISSING, find_consul
from tests.rig.consul_api import ConsulApi
from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.process import Process

ROOT_TOKEN: Final = "root-token"
# The name that Consul itself gives to the servers of dc1, and checks.
SERVER_NAME: Final = "server.dc1.consul"
# Short lives of what is remembered, so that a deleted token is missed within the time of a test.
ACL: Final = (
    'acl { enabled = true default_policy = "deny" token_ttl = "1s" policy_ttl = "1s" '
    f'tokens {{ master = "{ROOT_TOKEN}" agent = "{ROOT_TOKEN}" }} }}'
)
SINGLE: Final = ("server = true", "bootstrap_expect = 1")
_PORTS: Final = ("http", "server", "serf_lan")
# Quicker than by default, so that a dead agent is noticed in a second or two.
_QUICK: Final = (
    "disable_update_check = true",
    "performance { raft_multiplier = 1 }",
    'gossip_lan { probe_interval = "200ms" probe_timeout = "100ms" gossip_interval = "50ms" }',
    'retry_interval = "1s"',
    "leave_on_terminate = false",
    "skip_leave_on_interrupt = true",
    "limits { http_max_conns_per_client = 10000 }",
)
START_SECONDS: Final = 30.0


class Member(ConsulApi):
    """One agent that keeps its name, ports and data while it is killed, paused and started again.

    `hcl` are fragments of its configuration; with `SINGLE` it is a server and its own leader. With a `tls`
    context its HTTP API is over TLS only.
    """

    def __init__(
        self,
        directory: Path,
        name: str = "single",
        hcl: Sequence[str] = SINGLE,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(token=token, tls=tls, server_name=SERVER_NAME if tls else None)
        self.name = name
        self.data = directory / f"{name}.data"
        self.process = Process(directory / f"{name}.log")
        self._hcl = tuple(hcl)
        self._ports = {port: free_port() for port in _PORTS}
        self.http_port = self._ports["http"]

    @property
    def rpc_port(self) -> int:
        """The port on which servers talk to each other and client agents ask them."""
        return self._ports["server"]

    def join(self, others: Sequence["Member"]) -> None:
        """Look for these when it starts."""
        listed = ", ".join(f'"127.0.0.1:{other._ports["serf_lan"]}"' for other in others)
        self._hcl = (*self._hcl, f"retry_join = [{listed}]")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        await self.process.kill()

    async def start(self, *, up: bool = True) -> None:
        """Start it, anew or again, and wait until it is up if asked to."""
        await self.process.start(self._command())
        if up:
            await self.up()

    async def up(self, within: float = START_SECONDS) -> None:
        """Wait until a leader is known and the catalog can be read through it.

        Raises AssertionError with the end of its output if it does not come up.
        """
        self.open()
        try:
            await eventually(self._answers, within=within, every=0.05)
        except AssertionError as error:
            raise AssertionError(
                f"Consul agent {self.name}: {error}; its log: {self.process.output[-2000:]}"
            ) from None

    async def kill(self) -> None:
        """End it with kill -9; its data stays."""
        await self.process.end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: its connections stay open, and nothing is answered."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Remove its data; it has to be down."""
        shutil.rmtree(self.data)

    async def _answers(self) -> bool:
        return bool(await self.get("/v1/status/leader") and await self.get("/v1/health/service/consul"))

    def _command(self) -> list[str]:
        if (binary := find_consul()) is None:
            raise RuntimeError(MISSING)
        spoken, silent = ("https", "http") if self._tls else ("http", "https")
        ports = (
            f"ports {{ {spoken} = {self.http_port} {silent} = -1 server = {self.rpc_port} "
            f"serf_lan = {self._ports['serf_lan']} serf_wan = -1 dns = -1 grpc = -1 }}"
        )
        command = [str(binary), "agent", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-node", self.name]
        command += ["-data-dir", str(self.data), "-log-level", "warn"]
        for fragment in (ports, *_QUICK, *self._hcl):
            command += ["-hcl", fragment]
        return command
