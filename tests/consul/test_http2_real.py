"""Hundreds of long polls to a real Consul over a few TLS connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.consul.jwt import ACL, METHOD, Issuer
from tests.consul.tls_files import SERVER_NAME, TlsFiles
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul
from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from xds_server.consul.address import ConsulAddress, ConsulLogin, ConsulTls
from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import Cut, Unreachable
from xds_server.consul.query import Answer, Query

pytestmark = [pytest.mark.integration, pytest.mark.skipif(find_consul() is None, reason=MISSING)]

POLLS = 600
# Of Go's server; another one may allow more.
STREAMS = 250


def health(number: int) -> Query:
    return Query(segments=("v1", "health", "service", f"s{number}"))


@asynccontextmanager
async def behind(tls: TlsFiles) -> AsyncIterator[tuple[FaultProxy, ConsulClient]]:
    cert, key = tls.client
    files = ConsulTls(ca_file=tls.ca, cert_file=cert, key_file=key, server_name=SERVER_NAME)
    async with FaultProxy(tls.port) as way:
        address = ConsulAddress(url=f"https://127.0.0.1:{way.port}", tls=files)
        async with ConsulClient(address) as client:
            yield way, client


async def registered(agent: ConsulAgent, count: int) -> None:
    for number in range(count):
        await agent.register(f"s{number}", id=f"s{number}", port=1000 + number)


async def polling(client: ConsulClient, count: int) -> list[asyncio.Task[Answer]]:
    first = await asyncio.gather(*(client.ask(health(number)) for number in range(count)))
    return [
        asyncio.create_task(client.ask(health(number).at(answer.index, 300)))
        for number, answer in enumerate(first)
    ]


async def test_600_polls_over_a_handful_of_connections(tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path)
    # The limit is Consul's own count: 4 for us, and one for the rig.
    hcl = (*tls.hcl, "limits { http_max_conns_per_client = 5 }")
    async with ConsulAgent(hcl=hcl) as agent, behind(tls) as (way, client):
        await registered(agent, POLLS)
        polls = await polling(client, POLLS)
        assert client.capacity == client.connections * STREAMS
        assert way.open <= 4
        assert way.accepted <= 4
        for number in range(POLLS):
            await agent.register(f"s{number}", id=f"s{number}", port=3000 + number)
        answers = await asyncio.gather(*polls)
        for number, answer in enumerate(answers):
            assert f'"Port":{3000 + number},' in answer.body.decode().replace(" ", "").replace("\t", "")
        assert way.accepted <= 4


async def test_a_dead_connection_fails_its_own_polls_only(tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path)
    async with ConsulAgent(hcl=tls.hcl) as agent, behind(tls) as (way, client):
        await registered(agent, 1)
        index = (await client.ask(health(0))).index
        polls = [asyncio.create_task(client.ask(health(0).at(index, 300))) for _ in range(400)]
        await eventually(lambda: way.open, lambda count: count == 2, within=20)
        await asyncio.sleep(0.5)
        next(iter(way._open)).cancel()
        await eventually(lambda: sum(poll.done() for poll in polls), lambda done: done == STREAMS, within=20)
        assert {type(poll.exception()) for poll in polls if poll.done()} == {Cut}
        again = [asyncio.create_task(client.ask(health(0).at(index, 300))) for _ in range(STREAMS)]
        await agent.register("s0", id="s0", port=2)
        whole = await asyncio.gather(*(poll for poll in (*polls, *again) if not poll.done()))
        assert len(whole) == 400
        assert way.accepted == 3


async def test_a_login_over_http2(tmp_path: Path) -> None:
    tls, issuer = TlsFiles(tmp_path), Issuer()
    bearer = tmp_path / "jwt"
    bearer.write_text(issuer.sign(filler="x" * 20_000))  # longer than one frame
    async with ConsulAgent(hcl=(*tls.hcl, ACL), token="root-token") as agent:
        await issuer.trusted_by(agent)
        cert, key = tls.client
        address = ConsulAddress(
            url=f"https://127.0.0.1:{tls.port}",
            tls=ConsulTls(ca_file=tls.ca, cert_file=cert, key_file=key, server_name=SERVER_NAME),
            login=ConsulLogin(auth_method=METHOD, bearer_token_file=bearer),
        )
        async with ConsulClient(address) as client:
            assert b"consul" in (await client.ask(Query(segments=("v1", "catalog", "services")))).body
            assert client.capacity > client.connections


async def test_consul_that_allows_no_more_connections(tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path)
    hcl = (*tls.hcl, "limits { http_max_conns_per_client = 2 }")
    async with ConsulAgent(hcl=hcl) as agent, behind(tls) as (_, client):
        await registered(agent, 1)
        index = (await client.ask(health(0))).index
        polls = [asyncio.create_task(client.ask(health(0).at(index, 300))) for _ in range(STREAMS)]
        await asyncio.sleep(0)
        with pytest.raises(Unreachable, match="http_max_conns_per_client"):
            await client.ask(health(0))
        await agent.register("s0", id="s0", port=2)
        assert len(await asyncio.gather(*polls)) == STREAMS
