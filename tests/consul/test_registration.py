"""xds-server in a real Consul: found while it lives, warned of while its data is old, gone after it left."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.rig.consul_agent import ConsulAgent
from tests.rig.eventually import eventually
from xds_server.consul.client import ConsulAddress, ConsulClient
from xds_server.consul.registration import Health, Registration, SelfRegistration

HEALTH = "/v1/health/service/xds-server"
ACL = 'acl { enabled = true default_policy = "deny" tokens { master = "root" } }'


def registration(address: str = "127.0.0.1") -> Registration:
    return Registration(id="xds-server-1", address=address, port=18000, version="1.2.3", ttl=1.5)


class Server:
    def __init__(self) -> None:
        self.health = (Health.PASSING, "live")


@contextlib.asynccontextmanager
async def registered(
    agent: ConsulAgent, one: Registration, token: str = "", server: Server | None = None
) -> AsyncIterator[SelfRegistration]:
    server = server or Server()
    async with ConsulClient(ConsulAddress(url=agent.address, token=token)) as client:
        registration = SelfRegistration(client, one, lambda: server.health)
        task = asyncio.create_task(registration.run())
        try:
            yield registration
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def statuses(rows: list[dict[str, Any]]) -> list[str]:
    return [check["Status"] for row in rows for check in row["Checks"] if check["ServiceID"]]


async def test_it_is_found_and_gone_after_it_left() -> None:
    async with ConsulAgent() as agent, registered(agent, registration()) as one:
        rows = await eventually(lambda: agent.get(f"{HEALTH}?passing"))
        assert [(row["Service"]["Address"], row["Service"]["Port"]) for row in rows] == [("127.0.0.1", 18000)]
        assert rows[0]["Service"]["Meta"] == {"version": "1.2.3"}

        await one.leave()

        assert await agent.get(HEALTH) == []


async def test_its_check_says_what_it_thinks_of_itself_and_runs_out_when_it_dies() -> None:
    server = Server()
    async with ConsulAgent() as agent:
        async with registered(agent, registration(), server=server):
            await eventually(lambda: agent.get(f"{HEALTH}?passing"))
            server.health = (Health.WARNING, "stale: Consul does not answer")
            await eventually(lambda: _has(agent, "warning"))
            (check,) = [c for c in (await agent.get(HEALTH))[0]["Checks"] if c["ServiceID"]]
            assert check["Output"] == "stale: Consul does not answer"
        await eventually(lambda: _has(agent, "critical"))


async def _has(agent: ConsulAgent, status: str) -> bool:
    return statuses(await agent.get(HEALTH)) == [status]


async def test_an_agent_that_lost_its_memory_is_told_again() -> None:
    async with ConsulAgent() as agent, registered(agent, registration()):
        await eventually(lambda: agent.get(f"{HEALTH}?passing"))
        await agent.put("/v1/agent/service/deregister/xds-server-1")
        await eventually(lambda: agent.get(f"{HEALTH}?passing"))


async def test_a_server_on_loopback_is_not_shown_to_other_nodes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xds_server")
    async with ConsulAgent(hcl=['advertise_addr = "192.0.2.7"']) as agent, registered(agent, registration()):
        await eventually(lambda: "consul.not_registered" in caplog.messages)
        assert await agent.get(HEALTH) == []
    (record,) = [r for r in caplog.records if r.getMessage() == "consul.not_registered"]
    assert "set xds.address" in str(vars(record)["fields"]["error"])


async def test_a_token_that_may_not_register_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xds_server")
    async with ConsulAgent(hcl=[ACL], token="root") as agent, registered(agent, registration("192.0.2.9")):
        await eventually(lambda: "consul.not_registered" in caplog.messages)
        await asyncio.sleep(1.2)  # two more tries
        assert await agent.get(HEALTH) == []
    assert caplog.messages.count("consul.not_registered") == 1
    (record,) = [r for r in caplog.records if r.getMessage() == "consul.not_registered"]
    assert 'service "xds-server" { policy = "write" }' in str(vars(record)["fields"]["error"])
