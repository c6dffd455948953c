"""More services than connections, with a real Consul agent: that it says what the wide queries rely on."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.consul.source import Seen, ports
from tests.rig.consul_agent import MISSING, ConsulAgent, find_consul
from tests.rig.eventually import eventually
from xds_server.consul.address import ConsulAddress
from xds_server.consul.client import ConsulClient
from xds_server.consul.watch import ConsulSource, WatchOptions
from xds_server.model.catalog import Catalog

pytestmark = [pytest.mark.integration, pytest.mark.skipif(find_consul() is None, reason=MISSING)]

NAMES = [f"s{number:02}" for number in range(30)]


def statuses(catalog: Catalog, name: str) -> set[str]:
    return {status for one in catalog.services[name].instances for status in one.statuses}


async def test_each_kind_of_change_is_seen() -> None:
    async with ConsulAgent() as agent:
        for name in NAMES:
            await agent.register(name, port=1, status="passing")
        await agent.register("unchecked", port=1)
        seen = Seen()
        client = ConsulClient(ConsulAddress(url=agent.address), connections=12)
        # What a poll makes close would be seen by that.
        options = WatchOptions(burst=1000, per_second=1000, requests_per_second=1000, entries=False)
        task = asyncio.create_task(ConsulSource(client, options).run(seen))
        try:
            first = await seen.until(lambda _: True)
            assert len(first.services) == 31
            changes = [
                (agent.set_status("s01-1", "critical"), lambda now: "critical" in statuses(now, "s01")),
                (agent.set_status("s02-1", "warning"), lambda now: "warning" in statuses(now, "s02")),
                (agent.set_status("s01-1", "passing"), lambda now: "critical" not in statuses(now, "s01")),
                (
                    agent.put("/v1/agent/service/maintenance/s03-1?enable=true"),
                    lambda now: "maintenance" in statuses(now, "s03"),
                ),
                (agent.register("s04", port=2, status="passing"), lambda now: ports(now, "s04") == [1, 2]),
                (
                    agent.register("s05", port=1, status="passing", tags=["new"]),
                    lambda now: now.services["s05"].instances[0].tags == ("new",),
                ),
                (
                    agent.register("s06", port=1, status="passing", weights=(7, 1)),
                    lambda now: now.services["s06"].instances[0].weights.passing == 7,
                ),
                (agent.register("unchecked", port=2), lambda now: ports(now, "unchecked") == [1, 2]),
                (agent.deregister("s04-1"), lambda now: ports(now, "s04") == [2]),
                (agent.deregister("s07-1"), lambda now: "s07" not in now.services),
                (agent.register("s99", port=1), lambda now: "s99" in now.services),
                (
                    agent.put("/v1/agent/maintenance?enable=true"),
                    lambda now: all("maintenance" in statuses(now, name) for name in now.services),
                ),
            ]
            for change, is_seen in changes:
                await change
                await seen.until(is_seen)
            assert seen.value is not None
            assert seen.value.problems == ()
        finally:
            task.cancel()
            await asyncio.wait({task})


POLLS = {
    "list": "/v1/catalog/services",
    "nodes": "/v1/catalog/nodes",
    "critical": "/v1/health/state/critical",
    "any": "/v1/health/state/any",
    "a": "/v1/health/service/a",
    "b": "/v1/health/service/b",
}


@pytest.mark.slow
async def test_what_a_write_moves() -> None:
    """The table of docs/consul.md, as far as it is relied on: which polls wake with another answer."""

    def instance(name: str, **service: Any) -> dict[str, Any]:
        one = {"Service": name, "ID": f"{name}-1", "Port": 1, **service}
        return {"Node": "n", "Address": "10.0.0.1", "SkipNodeUpdate": True, "Service": one}

    def check(name: str, status: str, **more: Any) -> dict[str, Any]:
        of = {"ServiceID": f"{name}-1"} if name else {}
        one = {"Node": "n", "CheckID": f"c{name}", "Name": "c", "Status": status, **of, **more}
        return {"Node": "n", "Address": "10.0.0.1", "SkipNodeUpdate": True, "Check": one}

    node = {"Node": "n", "Address": "10.0.0.2", "NodeMeta": {"zone": "z"}}
    writes: list[tuple[str, Any, str, str]] = [
        # path, body, polls that wake, those of them with another answer
        ("kv/x", "1", "", ""),
        ("catalog/register", instance("a", Weights={"Passing": 5, "Warning": 1}), "list a", "a"),
        ("catalog/register", instance("a", Port=2), "list a", "a"),
        ("catalog/register", instance("a", Tags=["t"]), "list a", "list a"),
        ("catalog/register", instance("a", ID="unchecked"), "list a", "a"),
        ("catalog/register", check("a", "passing", Output="x"), "any a", "any a"),
        ("catalog/register", check("a", "critical"), "critical any a", "critical any a"),
        ("catalog/register", check("a", "passing"), "critical any a", "critical any a"),
        ("catalog/register", check("", "critical"), "critical any a b", "critical any a b"),
        ("catalog/register", check("", "passing"), "critical any a b", "critical any a b"),
        ("catalog/register", node, "nodes a b", "nodes a b"),
        ("catalog/deregister", {"Node": "n", "ServiceID": "a-1"}, "list any a", "list any a"),
    ]
    async with ConsulAgent() as agent, aiohttp.ClientSession(agent.address) as session:

        async def ask(path: str, index: str = "0") -> tuple[str, bytes]:
            async with session.get(path, params={"index": index, "wait": "1s"}) as answer:
                return answer.headers["X-Consul-Index"], await answer.read()

        for name in ("a", "b", "always critical"):
            await agent.put("/v1/catalog/register", instance(name))
            await agent.put(
                "/v1/catalog/register", check(name, "critical" if name.startswith("al") else "passing")
            )
        await agent.put("/v1/catalog/register", instance("a", ID="last"))
        await asyncio.sleep(1)  # the agent's own registration has settled
        for path, body, woken, changed in writes:
            before = {name: await ask(poll) for name, poll in POLLS.items()}
            asking = [ask(poll, before[name][0]) for name, poll in POLLS.items()]
            polls = asyncio.gather(*asking)
            await asyncio.sleep(0.2)
            await agent.put(f"/v1/{path}", body)
            after = dict(zip(POLLS, await polls, strict=True))
            moved = {name for name in POLLS if after[name][0] != before[name][0]}
            differ = {name for name in POLLS if after[name][1] != before[name][1]}
            assert moved == set(woken.split()), (path, body)
            assert differ == set(changed.split()), (path, body)


@pytest.mark.slow
async def test_a_poll_that_was_called_off_holds_its_connection_until_its_wait_is_over() -> None:
    """Why no poll is called off to make room, and why the wait is short."""
    async with (
        ConsulAgent(hcl=("limits { http_max_conns_per_client = 20 }",)) as agent,
        aiohttp.ClientSession(agent.address, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        async with session.get(POLLS["list"]) as answer:
            index = answer.headers["X-Consul-Index"]

        async def poll(wait: str) -> int:
            parameters = {"index": index, "wait": wait}
            async with session.get(POLLS["list"], params=parameters) as answer:
                return answer.status

        async def many() -> bool:
            answers = await asyncio.gather(*[poll("1ms") for _ in range(10)], return_exceptions=True)
            return answers == [200] * 10

        called_off = [asyncio.create_task(poll("6s")) for _ in range(15)]
        await asyncio.sleep(1)
        for task in called_off:
            task.cancel()
        await asyncio.sleep(1)
        assert not await many()
        await eventually(many, within=20, every=0.5)
