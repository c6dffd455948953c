"""The token by login with an auth method, against a real Consul where it can be."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.consul.fake_consul import LIST, FakeConsul, Reply
from tests.consul.jwt import ACL, METHOD, Issuer
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul
from tests.rig.eventually import eventually
from xds_server.consul import login as login_module
from xds_server.consul.address import ConsulAddress, ConsulLogin
from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import ConsulError, LoginFailed, Refused, Unreadable
from xds_server.consul.query import Query
from xds_server.telemetry import Event

QUESTION = Query(segments=("v1", "catalog", "services"))
LOGIN = "/v1/acl/login"
LOGOUT = "/v1/acl/logout"
REAL = pytest.mark.skipif(find_consul() is None, reason=MISSING)
SECRET = "3b9f-never-to-be-shown"


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Callable[[Event], list[dict[str, Any]]]:
    caplog.set_level(logging.INFO, "xds_server")
    return lambda event: [one.fields for one in caplog.records if one.getMessage() == event]


def client_of(url: str, bearer: Path, **more: Any) -> ConsulClient:
    login = ConsulLogin(auth_method=METHOD, bearer_token_file=bearer, meta={"who": "xds"})
    return ConsulClient(ConsulAddress(url=url, login=login, **more))


async def tokens_of(agent: ConsulAgent) -> set[str]:
    listed = await agent.get("/v1/acl/tokens")
    return {one["AccessorID"] for one in listed if one.get("AuthMethod") == METHOD}


@REAL
@pytest.mark.integration
async def test_the_life_of_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: Callable[[Event], list[dict[str, Any]]]
) -> None:
    monkeypatch.setattr(login_module, "RENEW_AT", 1.5 / 60)  # Consul grants no token for less than a minute
    issuer, bearer = Issuer(), tmp_path / "jwt"
    bearer.write_text(issuer.sign() + "\n")
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await issuer.trusted_by(agent)
        async with client_of(agent.address, bearer) as client:
            first = await client.ask(QUESTION)
            assert b"consul" in first.body
            seen = await tokens_of(agent)
            assert len(seen) == 1
            told = await agent.get(f"/v1/acl/token/{next(iter(seen))}")
            assert 'who":"xds' in told["Description"].replace(" ", "")

            # A poll that is held while its token is replaced goes on as if nothing had happened.
            poll = asyncio.create_task(client.ask(QUESTION.at(first.index, 60)))
            await eventually(lambda: len(events(Event.CONSUL_LOGGED_IN)) >= 2, within=20)
            now = await eventually(lambda: tokens_of(agent), lambda found: not found & seen, within=10)
            assert len(now) == 1
            await agent.register("user", port=1)
            assert b"user" in (await poll).body
            assert b"user" in (await client.ask(QUESTION)).body
        assert await tokens_of(agent) == set()
    assert [one["seconds"] for one in events(Event.CONSUL_LOGGED_IN)][:2] == [60.0, 60.0]
    assert events(Event.CONSUL_LOGIN_FAILED) == []


@REAL
@pytest.mark.integration
async def test_a_token_that_was_deleted_is_replaced_within_the_query(tmp_path: Path) -> None:
    issuer, bearer = Issuer(), tmp_path / "jwt"
    bearer.write_text(issuer.sign())
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await issuer.trusted_by(agent)
        async with client_of(agent.address, bearer) as client:
            await client.ask(QUESTION)
            await asyncio.sleep(0.2)  # the back-off after the first login
            for accessor in await tokens_of(agent):
                await agent.delete(f"/v1/acl/token/{accessor}")
            answers = await asyncio.gather(*(client.ask(QUESTION) for _ in range(20)))
            assert all(b"consul" in answer.body for answer in answers)
            assert len(await tokens_of(agent)) == 1


@REAL
@pytest.mark.integration
async def test_a_login_that_consul_refuses(
    tmp_path: Path, events: Callable[[Event], list[dict[str, Any]]]
) -> None:
    issuer, bearer = Issuer(), tmp_path / "jwt"
    bad = issuer.sign(aud="somebody else")
    bearer.write_text(bad)
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await issuer.trusted_by(agent)
        async with client_of(agent.address, bearer) as client:
            with pytest.raises(LoginFailed, match=f'auth method "{METHOD}": check that') as raised:
                await client.ask(QUESTION)
            assert raised.value.temporary
            assert bad not in str(raised.value)

            # It begins by itself as soon as the file is right.
            bearer.write_text(issuer.sign())

            async def ask() -> bytes:
                return (await client.ask(QUESTION)).body

            await eventually(ask, lambda body: b"consul" in body, within=10, every=0.05)
    assert len(events(Event.CONSUL_LOGIN_FAILED)) == 1


def granted(secret: str, **more: Any) -> Reply:
    return Reply(body={"SecretID": secret, "AccessorID": "a", **more})


async def test_what_is_sent_and_that_a_token_without_end_is_kept(tmp_path: Path) -> None:
    bearer = tmp_path / "jwt"
    bearer.write_text("x.y.z")
    async with FakeConsul() as fake:
        fake.always(LOGIN, granted(SECRET))
        fake.always(LOGOUT, Reply(body="true"))
        async with client_of(fake.address, bearer, namespace="team", basic_auth="a:b") as client:
            await asyncio.gather(*(client.ask(QUESTION) for _ in range(10)))
    assert fake.count(LOGIN) == 1
    assert fake.count(LOGOUT) == 1
    logged_in, *asked, logged_out = fake.asked
    assert dict(logged_in.query) == {"ns": "team"}
    assert logged_in.headers["Authorization"] == logged_out.headers["Authorization"]
    assert "X-Consul-Token" not in logged_in.headers
    assert {one.headers["X-Consul-Token"] for one in (*asked, logged_out)} == {SECRET}


async def test_logins_that_fail_are_few_however_many_ask(tmp_path: Path) -> None:
    bearer = tmp_path / "jwt"
    bearer.write_text("x.y.z")
    async with FakeConsul() as fake:
        fake.always(LOGIN, Reply(status=403, body=f"no x.y.z {SECRET}"))
        async with client_of(fake.address, bearer) as client:
            for _ in range(20):
                found = await asyncio.gather(
                    *(client.ask(QUESTION) for _ in range(20)), return_exceptions=True
                )
                assert {type(one) for one in found} == {LoginFailed}
                assert "x.y.z" not in str(found[0])
                await asyncio.sleep(0.01)
    # 0.2 s and what the machine adds; the back-off doubles from 0.05 to 0.1 s.
    assert fake.count(LOGIN) <= 6
    assert fake.count(LIST) == 0


async def test_a_permission_that_lacks_is_no_reason_to_log_in(tmp_path: Path) -> None:
    bearer = tmp_path / "jwt"
    bearer.write_text("x.y.z")
    async with FakeConsul() as fake:
        fake.always(LOGIN, granted(SECRET))
        fake.always(LIST, Reply(status=403, body="Permission denied"))
        async with client_of(fake.address, bearer) as client:
            await asyncio.sleep(0.2)
            with pytest.raises(Refused, match="Permission denied"):
                await client.ask(QUESTION)
            await asyncio.sleep(0.2)
            with pytest.raises(Refused):
                await client.ask(QUESTION)
    assert fake.count(LOGIN) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        {"SecretID": 7},
        {"SecretID": "a\nb"},
        {"SecretID": SECRET, "ExpirationTime": "soon", "CreateTime": "now"},
        {"SecretID": SECRET, "ExpirationTime": "2026-01-01T00:00:00Z", "CreateTime": "2026-01-01T00:00:00"},
    ],
)
async def test_an_answer_that_is_no_token(tmp_path: Path, body: Any) -> None:
    bearer = tmp_path / "jwt"
    bearer.write_text("x.y.z")
    async with FakeConsul() as fake:
        fake.always(LOGIN, Reply(body=body))
        async with client_of(fake.address, bearer) as client:
            with pytest.raises(ConsulError) as raised:
                await client.ask(QUESTION)
    assert isinstance(raised.value, Unreadable) or "header" in str(raised.value)
    assert SECRET not in str(raised.value)


async def test_a_bearer_token_file_that_is_not_there(tmp_path: Path) -> None:
    async with FakeConsul() as fake, client_of(fake.address, tmp_path / "none") as client:
        with pytest.raises(ConsulError, match=r"bearer token file .* check its path and mode"):
            await client.ask(QUESTION)
