"""Which token and which password a query carries."""

import asyncio
import base64
import os
from pathlib import Path

import pytest

from tests.consul.fake_consul import LIST, FakeConsul, Reply
from tests.consul.jwt import ACL, READ
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul
from xds_server.consul.address import ConsulAddress
from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import ConsulError, Refused
from xds_server.consul.query import Query

QUESTION = Query(segments=("v1", "catalog", "services"))
PASSWORD = "p4ss-not-to-be-seen"


def same_state(file: Path, text: str) -> None:
    """Write a file so that it looks unchanged: as long, and as old."""
    before = file.stat()
    assert len(text) == before.st_size
    with file.open("r+") as opened:
        opened.write(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


async def test_a_403_makes_the_token_file_be_read_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    async with FakeConsul() as fake, ConsulClient(ConsulAddress(url=fake.address, token_file=file)) as client:
        await client.ask(QUESTION)
        same_state(file, "two")
        fake.script(LIST, Reply(status=403, body="ACL not found"))
        await client.ask(QUESTION.at(10, 30))
    sent = [(asked.headers["X-Consul-Token"], asked.index) for asked in fake.asked]
    # With another token the answer may be another, so it is asked for as if for the first time.
    assert sent == [("one", 0), ("one", 10), ("two", 0)]


async def test_a_403_with_the_same_token_is_told(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    async with FakeConsul() as fake, ConsulClient(ConsulAddress(url=fake.address, token_file=file)) as client:
        fake.script(LIST, Reply(status=403, body="Permission denied"))
        with pytest.raises(Refused):
            await client.ask(QUESTION)
    assert fake.count(LIST) == 1


async def test_an_empty_token_file_leaves_the_token_in_force(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\n")
    async with (
        FakeConsul() as fake,
        ConsulClient(ConsulAddress(url=fake.address, token="given", token_file=file)) as client,
    ):
        await client.ask(QUESTION)
    assert fake.asked[0].headers["X-Consul-Token"] == "given"


@pytest.mark.integration
@pytest.mark.skipif(find_consul() is None, reason=MISSING)
async def test_a_token_is_rotated_under_open_polls(tmp_path: Path) -> None:
    file = tmp_path / "token"
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.put("/v1/acl/policy", {"Name": "read", "Rules": READ})
        old, new = [await agent.put("/v1/acl/token", {"Policies": [{"Name": "read"}]}) for _ in range(2)]
        file.write_text(old["SecretID"])
        async with ConsulClient(ConsulAddress(url=agent.address, token_file=file)) as client:
            first = await client.ask(QUESTION)
            polls = [asyncio.create_task(client.ask(QUESTION.at(first.index, 60))) for _ in range(20)]
            await asyncio.sleep(0.1)
            file.write_text(new["SecretID"])
            await agent.delete(f"/v1/acl/token/{old['AccessorID']}")
            await agent.register("user", port=1)
            assert all(b"user" in answer.body for answer in await asyncio.gather(*polls))
            assert b"user" in (await client.ask(QUESTION.at(first.index, 60))).body


@pytest.mark.parametrize(
    ("given", "sent"), [(f"me:{PASSWORD}", f"me:{PASSWORD}"), ("me", "me:"), ("m:a:b", "m:a:b")]
)
async def test_basic_auth(given: str, sent: str) -> None:
    async with (
        FakeConsul() as fake,
        ConsulClient(ConsulAddress(url=fake.address, token="t", basic_auth=given)) as client,
    ):
        await client.ask(QUESTION)
    headers = fake.asked[0].headers
    assert headers["Authorization"] == "Basic " + base64.b64encode(sent.encode()).decode()
    assert headers["X-Consul-Token"] == "t"


async def test_basic_auth_from_a_file_that_changes(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("me:one\n")
    async with FakeConsul() as fake, ConsulClient(ConsulAddress(url=fake.address, auth_file=file)) as client:
        await client.ask(QUESTION)
        file.write_text("me:second\n")
        await client.ask(QUESTION)
    sent = [base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) for asked in fake.asked]
    assert sent == [b"me:one", b"me:second"]


async def test_no_password_is_in_an_error_or_shown() -> None:
    encoded = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    address = ConsulAddress(basic_auth=f"me:{PASSWORD}")
    assert PASSWORD not in repr(address)
    async with FakeConsul() as fake:
        fake.script(LIST, Reply(status=401, body=f"you sent {encoded}, that is {PASSWORD}"))
        async with ConsulClient(ConsulAddress(url=fake.address, basic_auth=f"me:{PASSWORD}")) as client:
            with pytest.raises(Refused, match="CONSUL_HTTP_AUTH") as raised:
                await client.ask(QUESTION)
    assert PASSWORD not in str(raised.value)
    assert encoded not in str(raised.value)


async def test_a_password_that_no_header_can_carry() -> None:
    async with ConsulClient(ConsulAddress(basic_auth=f"me:{PASSWORD}\r\nX-Evil: 1")) as client:
        with pytest.raises(ConsulError, match="set it again") as raised:
            await client.ask(QUESTION)
    assert PASSWORD not in str(raised.value)


async def test_namespace_and_partition_go_with_every_query() -> None:
    async with FakeConsul() as fake:
        address = ConsulAddress(url=fake.address, namespace="team a", partition="west", datacenter="dc2")
        async with ConsulClient(address) as client:
            await client.ask(QUESTION)
    assert dict(fake.asked[0].query) == {"dc": "dc2", "ns": "team a", "partition": "west"}


async def test_a_call_carries_what_a_query_carries(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    path = "/v1/agent/service/register"
    async with FakeConsul() as fake:
        address = ConsulAddress(url=fake.address, token_file=file, basic_auth="a:b", namespace="team")
        async with ConsulClient(address) as client:
            refused = Reply(status=403, body="ACL not found")
            fake.script(path, refused, refused, Reply(body="done"), Reply(status=500))
            assert (await client.call("PUT", path, {"x": "1"}, b"{}")).status == 403
            same_state(file, "two")
            assert (await client.call("PUT", path, {"x": "1"}, b"{}")).body == b"done"
            assert (await client.call("PUT", path, {})).status == 500
    assert [asked.headers["X-Consul-Token"] for asked in fake.asked] == ["one", "one", "two", "two"]
    assert dict(fake.asked[0].query) == {"x": "1", "ns": "team"}
    assert "Authorization" in fake.asked[0].headers
