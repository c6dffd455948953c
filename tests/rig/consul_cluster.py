"""Several real Consul agents on loopback: three servers and a client agent, or two datacenters.

async with ConsulCluster(directory) as cluster:
    await cluster.client.register("user", port=8080)
    leader = await cluster.leader()
    await leader.kill()
    await leader.start()
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec

from tests.rig.consul_member import ACL, ROOT_TOKEN, SERVER_NAME, SINGLE, START_SECONDS, Member
from tests.rig.eventually import eventually
from tests.rig.pem import Authority, write
from tests.rig.ports import free_port


class ConsulCluster:
    """Three `servers` and one `client` agent; with `acl` nobody may do anything without a token.

    With `tls` all of them have certificates for `SERVER_NAME` of the CA in `ca_file`, and HTTP is over TLS.
    """

    def __init__(self, directory: Path, *, acl: bool = False, tls: bool = False) -> None:
        self.ca_file = directory / "consul-ca.pem"
        self._stack = contextlib.AsyncExitStack()
        context = None
        hcl: tuple[str, ...] = (ACL,) if acl else ()
        if tls:
            hcl = (*hcl, *_certificates(directory))
            context = ssl.create_default_context(cafile=str(self.ca_file))
        token = ROOT_TOKEN if acl else None
        server = (*hcl, "server = true", "bootstrap_expect = 3")
        self.servers = tuple(
            Member(directory, f"server-{number}", server, token=token, tls=context) for number in (1, 2, 3)
        )
        self.client = Member(directory, "client", hcl, token=token, tls=context)
        for member in self.members:
            member.join(self.servers)

    @property
    def members(self) -> tuple[Member, ...]:
        """All four."""
        return (*self.servers, self.client)

    async def __aenter__(self) -> Self:
        for member in self.members:
            self._stack.push_async_exit(member)
        try:
            await asyncio.gather(*(member.start(up=False) for member in self.members))
            await asyncio.gather(*(member.up() for member in self.members))
            await eventually(self._whole, within=START_SECONDS)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def leader(self) -> Member:
        """Give the server that leads, as the first one that answers has it."""
        found = await eventually(self._leader, within=START_SECONDS)
        assert found is not None
        return found

    async def followers(self) -> tuple[Member, ...]:
        """Give the servers that do not lead."""
        leader = await self.leader()
        return tuple(server for server in self.servers if server is not leader)

    async def _leader(self) -> Member | None:
        for server in self.servers:
            with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(1.0):
                    address = await server.get("/v1/status/leader")
                if found := [one for one in self.servers if address == f"127.0.0.1:{one.rpc_port}"]:
                    return found[0]
        return None

    async def _whole(self) -> bool:
        nodes = await self.client.get("/v1/catalog/nodes")
        servers = await self.client.get("/v1/health/service/consul?passing")
        return len(nodes) == len(self.members) and len(servers) == len(self.servers)


def _certificates(directory: Path) -> tuple[str, ...]:
    """Make a CA and one certificate for all; give the configuration that uses them."""
    authority = Authority("Consul test CA")
    certificate, key = authority.pair(SERVER_NAME, key=ec.generate_private_key(ec.SECP256R1()))
    write(directory, **{"consul-ca": authority.pem, "consul": certificate, "consul-key": key})
    return (
        f'ca_file = "{directory}/consul-ca.pem"',
        f'cert_file = "{directory}/consul.pem"',
        f'key_file = "{directory}/consul-key.pem"',
        "verify_incoming_rpc = true",
        "verify_outgoing = true",
        "verify_server_hostname = true",
    )


@contextlib.asynccontextmanager
async def two_datacenters(directory: Path) -> AsyncIterator[tuple[Member, Member]]:
    """Give a single agent in dc1 and one in dc2 that know of each other."""
    wan = {"dc1": free_port(), "dc2": free_port()}
    near, far = (
        Member(
            directory,
            name,
            (
                *SINGLE,
                f'datacenter = "{name}" primary_datacenter = "dc1"',
                f"ports {{ serf_wan = {port} }}",
                'gossip_wan { probe_interval = "500ms" probe_timeout = "250ms" }',
                'retry_interval_wan = "1s"',
                "retry_join_wan = [{}]".format(", ".join(f'"127.0.0.1:{one}"' for one in wan.values())),
            ),
        )
        for name, port in wan.items()
    )
    async with near, far:
        await eventually(lambda: near.get("/v1/catalog/services?dc=dc2"), within=START_SECONDS)
        await eventually(lambda: far.get("/v1/catalog/services?dc=dc1"), within=START_SECONDS)
        yield near, far
