"""Config entries written to a real agent and read back through the source."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.consul.source import Seen, watched
from tests.rig.consul_agent import ConsulAgent, find_consul
from tests.rig.eventually import eventually
from xds_server.consul.watch import WatchOptions
from xds_server.model.catalog import Catalog
from xds_server.model.chain import Resolver, Router, Splitter
from xds_server.model.entries import (
    IngressGateway,
    IngressListener,
    IngressService,
    LinkedService,
    Override,
    TerminatingGateway,
)
from xds_server.model.policy import Protocol
from xds_server.model.problem import Code

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_consul() is None, reason="no Consul agent here"),
]

ACL = 'acl { enabled = true default_policy = "deny" tokens { master = "root-token" agent = "root-token" } }'
READ = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
QUICK = WatchOptions(burst=100, per_second=100)

PROXY: dict[str, Any] = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "grpc"}}
WEB = {"Kind": "service-defaults", "Name": "web", "Protocol": "grpc"}
RESOLVER = {
    "Kind": "service-resolver",
    "Name": "web",
    "DefaultSubset": "v1",
    "ConnectTimeout": "15s",
    "Subsets": {
        "v1": {"Filter": "Service.Meta.version == v1"},
        "v2": {"Filter": "Service.Meta.version == v2", "OnlyPassing": True},
    },
    "Failover": {"*": {"Service": "backup"}, "v2": {"Datacenters": ["dc2", "dc3"]}},
}
SPLITTER = {
    "Kind": "service-splitter",
    "Name": "web",
    "Splits": [{"Weight": 90.5, "ServiceSubset": "v1"}, {"Weight": 9.5, "ServiceSubset": "v2"}],
}
ROUTER = {
    "Kind": "service-router",
    "Name": "web",
    "Routes": [
        {
            "Match": {"HTTP": {"PathPrefix": "/admin", "Methods": ["GET"]}},
            "Destination": {"Service": "admin", "PrefixRewrite": "/", "NumRetries": 3},
        }
    ],
}
REDIRECT = {"Kind": "service-resolver", "Name": "old", "Redirect": {"Service": "web", "ServiceSubset": "v2"}}
INGRESS = {
    "Kind": "ingress-gateway",
    "Name": "in",
    "TLS": {"Enabled": True},
    "Listeners": [
        {"Port": 8080, "Protocol": "grpc", "Services": [{"Name": "web", "Hosts": ["web.example.com"]}]}
    ],
}
TERMINATING = {
    "Kind": "terminating-gateway",
    "Name": "out",
    "Services": [{"Name": "billing", "CAFile": "/etc/ca.pem", "SNI": "billing.example.com"}, {"Name": "*"}],
}


async def write(agent: ConsulAgent, *entries: dict[str, Any]) -> None:
    for entry in entries:
        assert await agent.put("/v1/config", entry) is True


async def until(seen: Seen, fact: Callable[[Catalog], Any]) -> Catalog:
    catalog = await eventually(lambda: seen.value, lambda value: value and fact(value), within=60)
    assert catalog is not None
    return catalog


async def test_entries_of_every_kind_come_with_the_first_catalog_change_and_go() -> None:
    async with ConsulAgent() as agent:
        await write(agent, PROXY, WEB, RESOLVER, SPLITTER, ROUTER, INGRESS, TERMINATING)
        async with watched(agent, QUICK) as seen:
            entries = (await seen.get()).entries
            assert entries.problems == ()
            assert entries.defaults == (
                Override(field="protocol", value=Protocol.GRPC, source='consul proxy-defaults "global"'),
            )
            assert dict(entries.overrides) == {
                "web": (
                    Override(field="protocol", value=Protocol.GRPC, source='consul service-defaults "web"'),
                )
            }
            assert dict(entries.gateways) == {
                "in": IngressGateway(
                    name="in",
                    listeners=(
                        IngressListener(
                            port=8080,
                            protocol="grpc",
                            services=(IngressService(name="web", hosts=("web.example.com",)),),
                            tls=True,
                        ),
                    ),
                    tls=True,
                ),
                "out": TerminatingGateway(
                    name="out",
                    services=(
                        LinkedService(name="*"),
                        LinkedService(name="billing", ca_file="/etc/ca.pem", sni="billing.example.com"),
                    ),
                ),
            }
            assert list(entries.chains) == ["web"]
            chain = entries.chains["web"]
            router = chain.nodes[chain.start]
            assert isinstance(router, Router)
            assert [route.match.methods for route in router.routes] == [("GET",), ()]
            splitter = chain.nodes[router.routes[-1].next]
            assert isinstance(splitter, Splitter)
            ends = {split.weight: chain.nodes[split.next] for split in splitter.splits}
            assert ends == {
                9050: Resolver(
                    target="v1.web.default.dc1", failover=("backup.default.dc1",), connect_timeout=15
                ),
                950: Resolver(
                    target="v2.web.default.dc1",
                    failover=("v2.web.default.dc2", "v2.web.default.dc3"),
                    connect_timeout=15,
                ),
            }
            v2 = chain.targets["v2.web.default.dc1"]
            assert (v2.filter, v2.only_passing) == ("Service.Meta.version == v2", True)
            assert v2.sni == v2.name
            assert v2.name.startswith("v2.web.default.dc1.internal.")

            await write(agent, REDIRECT)
            redirected = await until(seen, lambda catalog: "old" in catalog.entries.chains)
            assert redirected.entries.chains["web"] is chain
            assert redirected.entries.overrides is entries.overrides or (
                redirected.entries.overrides["web"] is entries.overrides["web"]
            )
            # What another service's chain is made of changes it as well.
            await write(agent, RESOLVER | {"ConnectTimeout": "3s"})
            await until(seen, lambda catalog: _timeouts(catalog, "old") == {3.0})
            # Consul demands this order; a chain without its router goes on.
            await agent.delete("/v1/config/service-router/web")
            await until(seen, lambda catalog: catalog.entries.chains["web"].start.startswith("splitter"))
            for path in ("service-splitter/web", "service-resolver/old", "service-resolver/web"):
                await agent.delete(f"/v1/config/{path}")
            for path in ("ingress-gateway/in", "terminating-gateway/out", "service-defaults/web"):
                await agent.delete(f"/v1/config/{path}")
            await agent.delete("/v1/config/proxy-defaults/global")
            gone = await until(
                seen, lambda catalog: not catalog.entries.chains and not catalog.entries.defaults
            )
            assert not gone.entries.problems
            await until(seen, lambda catalog: not catalog.entries.gateways and not catalog.entries.overrides)


def _timeouts(catalog: Catalog, service: str) -> set[float | None]:
    nodes = catalog.entries.chains[service].nodes.values()
    return {node.connect_timeout for node in nodes if isinstance(node, Resolver)}


async def test_a_name_that_cannot_be_used_costs_itself_only() -> None:
    async with ConsulAgent() as agent:
        await write(
            agent, PROXY, WEB | {"Name": "we/../ird"}, {"Kind": "service-resolver", "Name": "a\nb"}, WEB
        )
        async with watched(agent, QUICK) as seen:
            entries = (await seen.get()).entries
            assert list(entries.overrides) == ["web"]
            assert not entries.chains
            assert [problem.code for problem in entries.problems] == [Code.CONFIG_ENTRY] * 2


async def policy(agent: ConsulAgent, rules: str, policy_id: str = "") -> str:
    body = {"Name": "reader", "Rules": rules} | ({"ID": policy_id} if policy_id else {})
    return str((await agent.put(f"/v1/acl/policy/{policy_id}".rstrip("/"), body))["ID"])


async def test_a_token_that_loses_its_rights_takes_no_entry_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xds_server")
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.register("web", port=1)
        await write(agent, PROXY, WEB, RESOLVER)
        reader = await policy(agent, READ)
        token = (await agent.put("/v1/acl/token", {"Policies": [{"ID": reader}]}))["SecretID"]
        async with watched(agent, QUICK, token=token) as seen:
            first = await seen.get()
            assert list(first.entries.chains) == ["web"]
            await policy(agent, "", reader)
            # A query that is held already still answers as before; the one after it shows the loss.
            for timeout in ("1s", "2s", "3s"):
                await write(agent, RESOLVER | {"ConnectTimeout": timeout})
                await asyncio.sleep(0.2)
            await until(seen, lambda catalog: catalog.entries.problems)
            assert seen.value is not None
            assert list(seen.value.entries.chains) == ["web"]
            assert list(seen.value.entries.overrides) == ["web"]
            await policy(agent, READ, reader)
            await until(
                seen, lambda catalog: not catalog.entries.problems and _timeouts(catalog, "web") == {3.0}
            )
            assert all(list(catalog.entries.chains) == ["web"] for catalog in seen.published)


async def test_what_the_token_may_not_read_is_missing_and_nothing_else_is() -> None:
    async with ConsulAgent(hcl=[ACL], token="root-token") as agent:
        await agent.register("web", port=1)
        await write(
            agent, PROXY, WEB, WEB | {"Name": "secret"}, RESOLVER, RESOLVER | {"Name": "secret"}, INGRESS
        )
        reader = await policy(
            agent, READ + ' service "secret" { policy = "deny" } service "in" { policy = "deny" }'
        )
        token = (await agent.put("/v1/acl/token", {"Policies": [{"ID": reader}]}))["SecretID"]
        async with watched(agent, QUICK, token=token) as seen:
            entries = (await seen.get()).entries
            assert (list(entries.overrides), list(entries.chains)) == (["web"], ["web"])
            assert not entries.gateways
