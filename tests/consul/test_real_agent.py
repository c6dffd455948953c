"""The source against a real Consul agent."""

import asyncio
from urllib.parse import quote

import pytest

from tests.consul.source import Seen, ports, watched
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul
from tests.rig.eventually import eventually
from xds_server.consul.client import ConsulAddress, ConsulClient
from xds_server.consul.errors import Refused
from xds_server.consul.query import Query
from xds_server.consul.watch import WatchOptions
from xds_server.model.catalog import Status, Weights
from xds_server.model.problem import Code

pytestmark = [pytest.mark.integration, pytest.mark.skipif(find_consul() is None, reason=MISSING)]

OPTIONS = WatchOptions(burst=1000, per_second=1000)
ACL = 'acl { enabled = true default_policy = "deny" tokens { master = "root-token" } }'
READ = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'


def statuses(seen: Seen, name: str) -> set[Status]:
    assert seen.value is not None
    return {status for one in seen.value.services[name].instances for status in one.statuses}


async def test_the_life_of_a_service() -> None:
    async with ConsulAgent() as agent, watched(agent, OPTIONS) as seen:
        assert dict((await seen.until(lambda _: True)).services) == {}
        user = await agent.register("user", port=1, weights=(1, 1), status="passing", tags=["v1"])
        catalog = await seen.until(lambda catalog: ports(catalog, "user") == [1])
        assert (catalog.datacenter, catalog.problems) == ("dc1", ())
        await agent.register("user", port=2)
        await seen.until(lambda catalog: ports(catalog, "user") == [1, 2])

        await agent.register("user", port=1, weights=(9, 2), status="passing")
        await seen.until(
            lambda catalog: catalog.services["user"].instances[0].weights == Weights(passing=9, warning=2)
        )
        for status in (Status.WARNING, Status.CRITICAL, Status.PASSING):
            await agent.set_status(user, status)
            await seen.until(lambda _, status=status: statuses(seen, "user") == {Status.PASSING, status})
        for switch, status in (("true", Status.MAINTENANCE), ("false", Status.PASSING)):
            await agent.put(f"/v1/agent/service/maintenance/{user}?enable={switch}")
            await seen.until(lambda _, status=status: statuses(seen, "user") == {Status.PASSING, status})
        await agent.put("/v1/agent/maintenance?enable=true")
        await seen.until(lambda _: Status.MAINTENANCE in statuses(seen, "user"))

        await agent.deregister(user)
        await seen.until(lambda catalog: ports(catalog, "user") == [2])
        await agent.deregister("user-2")
        await seen.until(lambda catalog: "user" not in catalog.services)


async def test_an_index_that_moves_without_a_change_publishes_nothing() -> None:
    async with ConsulAgent() as agent:
        await agent.register("user", port=1)
        async with watched(agent, OPTIONS) as seen:
            await seen.until(lambda _: True)
            before = await agent.get("/v1/catalog/services")
            for turn in range(50):
                await agent.put(f"/v1/kv/key-{turn}", b"value")
                # The same registration again, and a node that is nobody's: both wake watches.
                await agent.put("/v1/catalog/register", {"Node": f"node-{turn}", "Address": "10.0.0.1"})
            await agent.register("user", port=1)
            assert await agent.get("/v1/catalog/services") == before
            # What comes next is seen as the second value, so nothing was published in between.
            await agent.register("user", port=2)
            await seen.until(lambda catalog: ports(catalog, "user") == [1, 2])
            assert len(seen.published) == 2


async def test_a_name_that_is_a_path_never_shows_the_rows_of_another() -> None:
    async with ConsulAgent() as agent:
        await agent.register("payments", port=1)
        for name in ("zz/../payments", "line\nfeed", "nul\x00", "café", "web.", "*", "x" * 300_000):
            service = {"ID": f"evil-{name[:9]}", "Service": name, "Port": 666}
            await agent.put(
                "/v1/catalog/register", {"Node": "evil", "Address": "10.6.6.6", "Service": service}
            )
        confused = await agent.get("/v1/health/service/" + quote("zz/../payments", safe=""))
        assert confused[0]["Service"]["Service"] == "payments"  # what this is about
        async with watched(agent, OPTIONS) as seen:
            catalog = await seen.until(lambda _: True)
            assert list(catalog.services) == ["payments"]
            assert ports(catalog, "payments") == [1]
            assert [problem.code for problem in catalog.problems] == [Code.SERVICE_NAME] * 7
            assert all(problem.source.isascii() and len(problem.source) < 120 for problem in catalog.problems)


async def test_hostile_rows_leave_the_good_ones_alone() -> None:
    async with ConsulAgent() as agent:
        await agent.register("user", port=1)
        for number, service in enumerate(
            (
                {"Port": -1},
                {"Port": 70_000},
                {"Address": "not an ip!!"},
                {"Address": "10.0.0.1\n"},
                {"Tags": ["x" * 1_000_000]},
                {"Tags": [str(tag) for tag in range(10_000)]},
                {"ID": "id\x00\u202e"},
                {"ID": "x" * 300_000},
            )
        ):
            row = {"ID": f"evil-{number}", "Service": "user", **service}
            await agent.put("/v1/catalog/register", {"Node": "evil", "Address": "10.6.6.6", "Service": row})
        async with watched(agent, OPTIONS) as seen:
            catalog = await seen.until(lambda _: True)
            instances = catalog.services["user"].instances
            assert "user-1" in {one.id for one in instances}
            assert len(instances) == 8
            assert [problem.code for problem in catalog.problems] == [Code.SERVICE_ROW] * 3
            assert all(len(tag) <= 256 for one in instances for tag in one.tags)


async def policy(agent: ConsulAgent, rules: str, policy_id: str = "") -> str:
    body = {"Name": "reader", "Rules": rules} | ({"ID": policy_id} if policy_id else {})
    return str((await agent.put(f"/v1/acl/policy/{policy_id}".rstrip("/"), body))["ID"])


async def token_of(agent: ConsulAgent, policy_id: str) -> str:
    made = await agent.put("/v1/acl/token", {"Policies": [{"ID": policy_id}]})
    return str(made["SecretID"])


async def test_a_token_that_may_not_read_nodes_empties_nothing() -> None:
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.register("user", port=1)
        blind = await policy(agent, 'service_prefix "" { policy = "read" }')
        token = await token_of(agent, blind)
        async with ConsulClient(ConsulAddress(url=agent.address, token=token)) as client:
            assert (
                await client.ask(Query(segments=("v1", "health", "service", "user")))
            ).body.strip() == b"[]"
        async with watched(agent, OPTIONS, token=token) as seen:
            await eventually(lambda: seen.live)
            assert seen.value is None
            await policy(agent, READ, blind)
            await seen.until(lambda catalog: ports(catalog, "user") == [1])


async def test_without_a_token_it_is_never_ready_and_with_an_unknown_one_it_is_told() -> None:
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        async with ConsulClient(ConsulAddress(url=agent.address)) as client:
            assert (await client.ask(Query(segments=("v1", "catalog", "services")))).body.strip() == b"{}"
        async with watched(agent, OPTIONS) as seen:
            await asyncio.sleep(0.2)
            assert seen.value is None
        unknown = "11111111-2222-3333-4444-555555555555"
        async with ConsulClient(ConsulAddress(url=agent.address, token=unknown)) as client:
            with pytest.raises(Refused, match="ACL not found") as raised:
                await client.ask(Query(segments=("v1", "catalog", "services")))
        assert raised.value.status == 403
        assert unknown not in str(raised.value)
