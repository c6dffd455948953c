"""The ways to a real Consul: a unix socket, a path prefix, TLS with certificates on both sides."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from tests.consul.tls_files import SERVER_NAME, TlsFiles
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul
from xds_server.consul.address import ConsulAddress, ConsulTls
from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import ConsulError, Refused, Unreachable
from xds_server.consul.query import Query

REAL = [pytest.mark.integration, pytest.mark.skipif(find_consul() is None, reason=MISSING)]
QUESTION = Query(segments=("v1", "catalog", "services"))


async def body_of(address: ConsulAddress) -> bytes:
    async with ConsulClient(address) as client:
        return (await client.ask(QUESTION)).body


class TestReal:
    pytestmark = REAL

    async def test_a_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "consul.sock"
        hcl = f'addresses {{ http = "127.0.0.1 unix://{path}" }}'
        async with (
            ConsulAgent(hcl=[hcl]) as agent,
            ConsulClient(ConsulAddress(url=f"unix://{path}")) as client,
        ):
            first = await client.ask(QUESTION)
            await agent.register("user", port=1)
            assert b"user" in (await client.ask(QUESTION.at(first.index, 30))).body
            await agent.stop()
            with pytest.raises(Unreachable, match=r"unix://.*consul\.sock"):
                await client.ask(QUESTION)

    async def test_a_path_prefix(self) -> None:
        async with ConsulAgent() as agent, prefixed(agent, "/consul/api") as url:
            assert b"consul" in await body_of(ConsulAddress(url=url))
            with pytest.raises(Refused, match="path prefix"):
                await body_of(ConsulAddress(url=url.removesuffix("/api")))

    async def test_tls_with_certificates_on_both_sides(self, tmp_path: Path) -> None:
        tls = TlsFiles(tmp_path)
        cert, key = tls.client
        url = f"https://127.0.0.1:{tls.port}"
        known = ConsulTls(ca_file=tls.ca, cert_file=cert, key_file=key, server_name=SERVER_NAME)
        by_path = ConsulTls(ca_path=tls.ca_path, cert_file=cert, key_file=key, server_name=SERVER_NAME)
        async with ConsulAgent(hcl=tls.hcl):
            for good in (known, by_path, ConsulTls(cert_file=cert, key_file=key, verify=False)):
                assert b"consul" in await body_of(ConsulAddress(url=url, tls=good))
            for bad, why in (
                (ConsulTls(ca_file=tls.ca, cert_file=cert, key_file=key), "the server name"),
                (ConsulTls(cert_file=cert, key_file=key, server_name=SERVER_NAME), "the CA file"),
                (ConsulTls(ca_file=tls.ca, server_name=SERVER_NAME), "the client certificate"),
            ):
                with pytest.raises(Unreachable, match=why):
                    await body_of(ConsulAddress(url=url, tls=bad))

    async def test_a_certificate_that_is_renewed(self, tmp_path: Path) -> None:
        tls = TlsFiles(tmp_path)
        cert, key = tls.client
        good = cert.read_bytes(), key.read_bytes()
        other = trustme.CA().issue_cert("xds-server")
        other.private_key_pem.write_to_path(key)
        other.cert_chain_pems[0].write_to_path(cert)
        files = ConsulTls(ca_file=tls.ca, cert_file=cert, key_file=key, server_name=SERVER_NAME)
        address = ConsulAddress(url=f"https://127.0.0.1:{tls.port}", tls=files)
        async with ConsulAgent(hcl=tls.hcl), ConsulClient(address) as client:
            with pytest.raises(Unreachable, match="the client certificate"):
                await client.ask(QUESTION)
            cert.write_bytes(good[0])
            with pytest.raises(Unreachable, match="the client certificate"):  # the key is still the other's
                await client.ask(QUESTION)
            key.write_bytes(good[1])
            assert b"consul" in (await client.ask(QUESTION)).body
            assert client.capacity > client.connections

    async def test_namespaces_are_consuls_to_judge(self) -> None:
        async with ConsulAgent() as agent:
            with pytest.raises(Refused, match="Consul Enterprise"):
                await body_of(ConsulAddress(url=agent.address, namespace="team"))


@asynccontextmanager
async def prefixed(agent: ConsulAgent, prefix: str) -> AsyncIterator[str]:
    """A proxy before an agent that serves it below a path."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def pass_on(request: web.Request) -> web.Response:
            target = agent.address + request.path_qs.removeprefix(prefix)
            async with session.get(target, headers=request.headers) as answer:
                return web.Response(status=answer.status, headers=answer.headers, body=await answer.read())

        app = web.Application()
        app.router.add_get(prefix + "/{tail:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
        finally:
            await runner.cleanup()


async def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="check that an agent runs"):
        await body_of(ConsulAddress(url=f"unix://{tmp_path}/none.sock"))


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        proxy.setblocking(False)
        for url in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
            with pytest.raises(Unreachable, match="nothing accepts connections"):
                await body_of(ConsulAddress(url=url))
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize("wrong", ["empty", "missing", "garbage"])
async def test_a_ca_directory_that_cannot_be_used(tmp_path: Path, wrong: str) -> None:
    directory = tmp_path / "cas"
    if wrong != "missing":
        directory.mkdir()
    if wrong == "garbage":
        (directory / "notes.txt").write_text("not PEM")
    with pytest.raises(ConsulError, match="notes" if wrong == "garbage" else "cas"):
        await body_of(ConsulAddress(url="https://127.0.0.1:1", tls=ConsulTls(ca_path=directory)))


async def test_a_ca_file_goes_before_a_directory(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    tls = ConsulTls(ca_file=ca, ca_path=tmp_path / "none")
    with pytest.raises(Unreachable, match="nothing accepts connections"):
        await body_of(ConsulAddress(url="https://127.0.0.1:1", tls=tls))
