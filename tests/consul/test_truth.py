"""What is believed of a real Consul that loses rights, its data, or its newer state."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.consul.source import QUICK, Seen, ports
from tests.rig.consul_acl import READ, make_policy, make_token
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul
from tests.rig.eventually import eventually
from xds_server.consul import poll as poll_module
from xds_server.consul.address import ConsulAddress
from xds_server.consul.client import ConsulClient
from xds_server.consul.evidence import Bounds
from xds_server.consul.watch import ConsulSource
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest

pytestmark = [pytest.mark.integration, pytest.mark.skipif(find_consul() is None, reason=MISSING)]

ACL = 'acl { enabled = true default_policy = "deny" tokens { master = "root-token" } }'

# Longer than a test may take, so that what is held stays so, unless a test is about its end.
HELD = 300.0
BRIEFLY = 2.0


@pytest.fixture(autouse=True)
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_module, "backoff", lambda errors: 0.05)


class Watched:
    """A source, and what it says."""

    def __init__(self) -> None:
        self.catalog = Seen()
        self.standings: Latest[tuple[Standing, ...]] = Latest()

    async def until(self, state: State, said: str = "") -> None:
        await eventually(
            lambda: (self.standings.value or ())[0],
            lambda one: one.state is state and said in one.reason,
            within=15,
        )


@asynccontextmanager
async def watched(
    agent: ConsulAgent, token: str = "", token_file: Path | None = None, hold: float = HELD
) -> AsyncIterator[Watched]:
    made = Watched()
    address = ConsulAddress(url=agent.address, token=token, token_file=token_file)
    source = ConsulSource(ConsulClient(address), replace(QUICK, wait=1, bounds=Bounds(hold=hold)))
    task = asyncio.create_task(source.run(made.catalog, made.standings))
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


async def test_every_way_to_remove_something_is_believed_at_once() -> None:
    """Each moves the index, so none is taken for a loss of rights."""
    async with ConsulAgent() as agent:
        await agent.register("user", port=1)
        await agent.register("user", port=2)
        for node in ("n1", "n2", "n3"):
            service = {"ID": f"user-{node}", "Service": "user", "Port": int(node[1]) + 10}
            await agent.put("/v1/catalog/register", {"Node": node, "Address": "10.0.0.1", "Service": service})
        async with watched(agent) as source:
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [1, 2, 11, 12, 13])
            await agent.deregister("user-1")
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [2, 11, 12, 13])
            await agent.put("/v1/catalog/deregister", {"Node": "n1"})
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [2, 12, 13])
            await agent.put("/v1/catalog/deregister", {"Node": "n2", "ServiceID": "user-n2"})
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [2, 13])
            await agent.deregister("user-2")
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [13])
            await agent.put("/v1/catalog/deregister", {"Node": "n3"})
            await source.catalog.until(lambda catalog: not catalog.services)
            await source.until(State.LIVE)


async def test_without_a_token_under_default_deny_it_says_what_to_grant() -> None:
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.register("user", port=1)
        async with watched(agent) as source:
            await source.until(State.FROZEN, "give the token a policy")
            assert source.catalog.value is None


async def test_a_policy_that_is_emptied_freezes_until_it_is_mended() -> None:
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.register("user", port=1)
        reader = await make_policy(agent)
        async with watched(agent, (await make_token(agent, reader)).secret) as source:
            await source.until(State.LIVE)
            before = await source.catalog.until(lambda catalog: ports(catalog, "user") == [1])
            await make_policy(agent, rules="", policy=reader)
            for port in (2, 3):
                await agent.register("user", port=port)
                await asyncio.sleep(0.1)
            await source.until(State.FROZEN, "own service `consul`")
            assert before.services.keys() <= source.catalog.published[-1].services.keys()
            await make_policy(agent, policy=reader)
            await source.until(State.LIVE)
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [1, 2, 3])
            assert all(1 in ports(catalog, "user") for catalog in source.catalog.published)


async def test_a_policy_that_loses_one_service_keeps_it() -> None:
    """Consul then gives 200, `consul`, the old index, and one service less; before 1.12 without a hint."""
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.register("user", port=1)
        await agent.register("other", port=1)
        reader = await make_policy(agent)
        async with watched(agent, (await make_token(agent, reader)).secret) as source:
            await source.catalog.until(lambda catalog: len(catalog.services) == 2)
            await make_policy(agent, rules=READ + ' service "other" { policy = "deny" }', policy=reader)
            await source.until(State.FROZEN, "rights")
            assert ports(source.catalog.published[-1], "other") == [1]
            await make_policy(agent, policy=reader)
            await source.until(State.LIVE)
            assert all(len(catalog.services) == 2 for catalog in source.catalog.published)


async def test_a_deleted_token_freezes_until_there_is_another(tmp_path: Path) -> None:
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.register("user", port=1)
        reader = await make_policy(agent)
        token = await make_token(agent, reader)
        file = tmp_path / "token"
        file.write_text(token.secret)
        async with watched(agent, token_file=file) as source:
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [1])
            await agent.delete(f"/v1/acl/token/{token.accessor}")
            await agent.register("user", port=2)
            await source.until(State.FROZEN, "ACL not found")
            assert 1 in ports(source.catalog.published[-1], "user")
            file.write_text((await make_token(agent, reader)).secret)
            await source.until(State.LIVE)
            await source.catalog.until(lambda catalog: ports(catalog, "user") == [1, 2])


async def test_lost_data_is_held_and_what_is_registered_again_joins() -> None:
    async with ConsulAgent() as agent:
        for port in range(1, 8):
            await agent.register("user", port=port)
        await agent.register("other", port=1)
        async with watched(agent, hold=BRIEFLY) as source:
            await source.catalog.until(lambda catalog: len(ports(catalog, "user")) == 7)
            await source.until(State.LIVE)
            port = agent.http_port
            await agent.stop()
            await source.until(State.STALE)
            async with ConsulAgent(http_port=port) as again:
                await source.until(State.FROZEN, "2 of 2 services are missing")
                await again.register("user", port=9)
                await source.catalog.until(lambda catalog: len(ports(catalog, "user")) == 8)
                await source.until(State.FROZEN, "1 of 2 services are missing")
                assert ports(source.catalog.published[-1], "other") == [1]
                await source.catalog.until(lambda catalog: ports(catalog, "user") == [9])
                await source.catalog.until(lambda catalog: list(catalog.services) == ["user"])
                await source.until(State.LIVE)


async def test_a_restored_snapshot_takes_nothing_away_before_the_hold_is_over() -> None:
    async with ConsulAgent() as agent:
        await agent.register("old", port=1)
        snapshot = await agent.read("/v1/snapshot")
        node = {"Node": "n1", "Address": "10.0.0.1"}
        for port in range(1, 4):
            service = {"ID": f"new-{port}", "Service": "new", "Port": port}
            await agent.put("/v1/catalog/register", {**node, "Service": service})
        async with watched(agent, hold=BRIEFLY) as source:
            await source.catalog.until(lambda catalog: ports(catalog, "new") == [1, 2, 3])
            await source.until(State.LIVE)
            await agent.put("/v1/snapshot", snapshot)
            await source.until(State.FROZEN, "went backwards")
            assert ports(source.catalog.published[-1], "new") == [1, 2, 3]
            await agent.register("later", port=1)
            await source.catalog.until(lambda catalog: "later" in catalog.services)
            assert list(source.catalog.published[-1].services) == ["later", "new", "old"]
            await source.catalog.until(lambda catalog: list(catalog.services) == ["later", "old"])
            await source.until(State.LIVE)
