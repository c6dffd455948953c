"""The client against a Consul that misbehaves on the wire."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from tests.consul.fake_consul import LIST, FakeConsul, Reply
from xds_server.consul.address import ConsulAddress, ConsulTls
from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import ConsulError, Cut, Late, Refused, Unreachable, Unreadable
from xds_server.consul.query import Answer, Query
from xds_server.consul.transport import Limits
from xds_server.telemetry import Event

PATH = ("v1", "catalog", "services")
TOKEN = "6f0f2b2c-not-to-be-seen"


IMPATIENT = Limits(silence=0.05)


async def asked(fake: FakeConsul, *replies: Reply, limits: Limits | None = None, **address: Any) -> Answer:
    fake.script(LIST, *replies)
    async with ConsulClient(ConsulAddress(url=fake.address, **address), limits=limits) as client:
        return await client.ask(Query(segments=PATH))


async def test_every_header_is_read() -> None:
    headers = {
        "X-Consul-Index": "41",
        "X-Consul-KnownLeader": "false",
        "X-Consul-LastContact": "1200",
        "X-Consul-Results-Filtered-By-ACLs": "true",
    }
    async with FakeConsul() as fake:
        answer = await asked(fake, Reply(body={"a": []}, headers=headers))
    assert answer == Answer(
        index=41, known_leader=False, last_contact=1200, filtered_by_acls=True, body=b'{"a": []}'
    )


async def test_missing_headers_are_taken_for_an_old_agents() -> None:
    async with FakeConsul() as fake:
        answer = await asked(fake, Reply(body="{}", headers={}))
    assert answer == Answer(index=0, known_leader=True, last_contact=0, filtered_by_acls=False, body=b"{}")


@pytest.mark.parametrize(
    "index", ["", "-1", "1.5", "abc", "0x10", "99999999999999999999", "9223372036854775808", "٣"]
)
async def test_an_index_that_is_none_is_0(index: str) -> None:
    async with FakeConsul() as fake:
        assert (await asked(fake, Reply(body="{}", headers={"X-Consul-Index": index}))).index == 0


async def test_what_is_sent() -> None:
    async with FakeConsul() as fake:
        address = ConsulAddress(url=fake.address + "/", token=TOKEN, datacenter="dc 2")
        async with ConsulClient(address) as client:
            await client.ask(Query(segments=("v1", "health", "service", "a/b")))
            fake.wake()
            await client.ask(Query(segments=PATH, index=2, wait=1.5))
    first, second = fake.asked
    assert first.path == "/v1/health/service/a%2Fb"
    assert dict(first.query) == {"dc": "dc 2"}
    assert first.headers["X-Consul-Token"] == TOKEN
    assert first.headers["Accept-Encoding"] == "identity"
    assert dict(second.query) == {"dc": "dc 2", "index": "2", "wait": "1500ms"}


@pytest.mark.parametrize(
    ("status", "advice", "temporary"),
    [
        (400, "log of the Consul agent", False),
        (403, 'service_prefix "" { policy = "read" }', False),
        (404, "path prefix", False),
        (429, "limits the rate", True),
        (500, "have a leader", True),
        (503, "have a leader", True),
        (302, "redirects are not followed", False),
    ],
)
async def test_a_refusal_says_what_to_do(status: int, advice: str, temporary: bool) -> None:
    headers = {"X-Consul-Index": "1", "Location": "http://127.0.0.1:1/elsewhere"}
    async with FakeConsul() as fake:
        with pytest.raises(Refused, match="Consul answered") as raised:
            await asked(fake, Reply(status=status, body=f"<b>no</b>\n{TOKEN}", headers=headers), token=TOKEN)
    assert advice in str(raised.value)
    assert (raised.value.status, raised.value.temporary) == (status, temporary)
    assert str(raised.value).isprintable()
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("body", ["", '{"consul":'], ids=["at once", "in the body"])
async def test_a_connection_that_ends_early_is_a_cut(body: str) -> None:
    async with FakeConsul() as fake:
        with pytest.raises(Cut):
            await asked(fake, *[Reply(body=body, cut_after=0)] * 2)


async def test_nobody_there() -> None:
    async with FakeConsul() as fake:
        address = ConsulAddress(url=fake.address, token=TOKEN)
    async with ConsulClient(address) as client:
        with pytest.raises(Unreachable, match="check that an agent runs") as raised:
            await client.ask(Query(segments=PATH))
    assert raised.value.__cause__ is None  # it would hold the request, with the token


async def test_no_answer_ends_in_time() -> None:
    async with FakeConsul() as fake:
        with pytest.raises(Late, match="in time"):
            await asked(fake, Reply(hang=True), limits=IMPATIENT)


async def test_no_answer_to_a_long_poll_ends_after_its_wait() -> None:
    async with (
        FakeConsul() as fake,
        ConsulClient(ConsulAddress(url=fake.address), limits=IMPATIENT) as client,
    ):
        started = asyncio.get_running_loop().time()
        fake.script(LIST, Reply(hang=True))
        with pytest.raises(Late, match="in time"):
            await client.ask(Query(segments=PATH, index=9, wait=0.2))
        assert asyncio.get_running_loop().time() - started >= 0.2 * 17 / 16


async def test_what_is_not_http() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, ConsulClient(ConsulAddress(url=f"127.0.0.1:{port}")) as client:
        with pytest.raises(Unreachable, match="HTTP API"):
            await client.ask(Query(segments=PATH))


async def test_a_body_has_a_cap() -> None:
    limits = Limits(body=1000)
    async with FakeConsul() as fake:
        assert len((await asked(fake, Reply(body="x" * 1000), limits=limits)).body) == 1000
        with pytest.raises(Unreadable, match="longer than 1000"):
            await asked(fake, Reply(body="x" * 1001), limits=limits)


async def test_headers_have_a_cap() -> None:
    headers = {f"X-{number}": "1" for number in range(70)}
    async with FakeConsul() as fake:
        with pytest.raises(Unreachable, match="HTTP API"):
            await asked(fake, Reply(body="{}", headers=headers))


async def test_a_compressed_body_is_not_unpacked() -> None:
    async with FakeConsul() as fake:
        bomb = b"\x1f\x8b\x08rest"
        answer = await asked(fake, Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    assert answer.body == bomb


async def test_a_socket_closed_between_requests_is_nothing() -> None:
    async with FakeConsul() as fake, ConsulClient(ConsulAddress(url=fake.address)) as client:
        await client.ask(Query(segments=PATH))
        fake.script(LIST, Reply(cut_after=0))
        await client.ask(Query(segments=PATH))


async def test_the_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    async with FakeConsul() as fake:
        address = ConsulAddress(url=fake.address, token="ignored", token_file=file)
        async with ConsulClient(address) as client:
            await client.ask(Query(segments=PATH))
            file.write_text("second\n")
            await client.ask(Query(segments=PATH))
            file.unlink()
            await client.ask(Query(segments=PATH))
            (tmp_path / "new").write_text("third")
            os.replace(tmp_path / "new", file)  # noqa: PTH105 - what secret managers do
            await client.ask(Query(segments=PATH))
    assert [asked.headers["X-Consul-Token"] for asked in fake.asked] == ["one", "second", "second", "third"]


async def test_a_token_file_that_never_was_there(tmp_path: Path) -> None:
    async with ConsulClient(ConsulAddress(token_file=tmp_path / "none")) as client:
        with pytest.raises(ConsulError, match="check its path and mode"):
            await client.ask(Query(segments=PATH))


async def test_a_token_that_no_header_can_carry() -> None:
    async with ConsulClient(ConsulAddress(token=f"{TOKEN}\r\nX-Evil: 1")) as client:
        with pytest.raises(ConsulError, match="set it again") as raised:
            await client.ask(Query(segments=PATH))
    assert TOKEN not in str(raised.value)


def test_the_token_is_not_in_the_address_that_is_shown() -> None:
    assert TOKEN not in repr(ConsulAddress(token=TOKEN))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a:1",
        "http://",
        "http://user:pass@a:1",
        "http://a:port",
        "unix://run/consul.sock",
        "http://a?b",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConsulError, match="http://host:port"):
        ConsulClient(ConsulAddress(url=url))


class Tls:
    """A server with a certificate for consul.test that wants one of a client."""

    def __init__(self, directory: Path) -> None:
        ca = trustme.CA()
        self.ca, self.cert, self.key = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
        ca.cert_pem.write_to_path(self.ca)
        client = ca.issue_cert("xds-server")
        client.private_key_pem.write_to_path(self.key)
        client.cert_chain_pems[0].write_to_path(self.cert)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("consul.test").configure_cert(self.context)
        ca.configure_trust(self.context)
        self.context.verify_mode = ssl.CERT_REQUIRED


@asynccontextmanager
async def served(tls: Tls) -> AsyncIterator[int]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="{}")

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask_tls(tls: Tls, settings: ConsulTls) -> bytes:
    async with served(tls) as port:
        address = ConsulAddress(url=f"https://127.0.0.1:{port}", tls=settings)
        async with ConsulClient(address) as client:
            return (await client.ask(Query(segments=PATH))).body


async def test_tls_both_ways(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    settings = ConsulTls(ca_file=tls.ca, cert_file=tls.cert, key_file=tls.key, server_name="consul.test")
    assert await ask_tls(tls, settings) == b"{}"
    unchecked = ConsulTls(verify=False, cert_file=tls.cert, key_file=tls.key)
    assert await ask_tls(tls, unchecked) == b"{}"


@pytest.mark.parametrize("wrong", ["another name", "another CA", "no certificate"])
async def test_tls_that_does_not_fit(tmp_path: Path, wrong: str) -> None:
    tls = Tls(tmp_path)
    name = "other.test" if wrong == "another name" else "consul.test"
    ca = None if wrong == "another CA" else tls.ca
    cert = None if wrong == "no certificate" else tls.cert
    with pytest.raises(Unreachable):
        await ask_tls(tls, ConsulTls(ca_file=ca, cert_file=cert, key_file=tls.key, server_name=name))


async def test_tls_files_that_change_are_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tls = Tls(tmp_path)
    good = tls.ca.read_bytes()
    trustme.CA().cert_pem.write_to_path(tls.ca)
    settings = ConsulTls(ca_file=tls.ca, cert_file=tls.cert, key_file=tls.key, server_name="consul.test")
    async with served(tls) as port:
        address = ConsulAddress(url=f"https://127.0.0.1:{port}", tls=settings)
        async with ConsulClient(address) as client:
            with pytest.raises(Unreachable, match="not trusted"):
                await client.ask(Query(segments=PATH))
            tls.ca.write_bytes(good)
            assert (await client.ask(Query(segments=PATH))).body == b"{}"
            tls.ca.write_text("garbage")
            assert (await client.ask(Query(segments=PATH))).body == b"{}"
    assert {one.getMessage() for one in caplog.records} == {Event.CONSUL_TLS_REFUSED}


@pytest.mark.parametrize("setting", ["ca_file", "cert_file"])
async def test_tls_files_that_are_none(tmp_path: Path, setting: str) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nnope\n")
    files: dict[str, Any] = {setting: garbage}
    with pytest.raises(ConsulError, match=r"garbage\.pem"):
        async with ConsulClient(ConsulAddress(url="https://127.0.0.1:1", tls=ConsulTls(**files))):
            pass
