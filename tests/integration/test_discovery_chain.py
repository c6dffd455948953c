"""Config entries in a real Consul become what a real Envoy does, and change under load without a failure."""

import asyncio
import json
from collections import Counter
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from tests.rig.conversation import Rule
from tests.rig.eventually import eventually
from tests.rig.load import Load
from tests.rig.upstream import Upstream
from xds_server.model.chain import Chain, ChainRoute, LoadBalancer, Resolver, Router, Split, Splitter, Target
from xds_server.model.entries import ConfigEntries
from xds_server.model.policy import DEFAULT_LISTENER, Discovery, HashKind, HashOn, LbPolicy
from xds_server.model.route import HeaderChanges, PathKind, PathMatch, RouteMatch, Treatment

pytestmark = pytest.mark.integration

HTTP = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}
SUBSETS = {
    "Kind": "service-resolver",
    "Name": "web",
    "Subsets": {
        "v1": {"Filter": "Service.Meta.version == v1"},
        "v2": {"Filter": "Service.Meta.version == v2"},
    },
}


class Echo(Upstream):
    """Answers with what it was asked; `/slow` after a second, `/flaky` with 502 every other time."""

    async def _answer(self, request):
        self.requests += 1
        if request.path == "/slow":
            await asyncio.sleep(1.0)
        if request.path == "/flaky" and self.requests % 2:
            return web.Response(status=502)
        seen = {"name": self.name, "path": request.path_qs, "headers": dict(request.headers)}
        return web.Response(text=json.dumps(seen), headers={"x-server-kind": "echo"})


async def echo(world, service, name="", **registration):
    upstream = await world.stack.enter_async_context(Echo(name or service))
    await world.register(service, upstream, **registration)
    return upstream


async def write(world, *entries):
    for entry in entries:
        assert await world.consul.put("/v1/config", entry) is True


def split(**shares):
    splits = [{"Weight": weight, "ServiceSubset": subset} for subset, weight in shares.items()]
    return {"Kind": "service-splitter", "Name": "web", "Splits": splits}


async def target_names(world, service):
    """Give the cluster names that Consul itself makes for a service."""
    chain = (await world.consul.get(f"/v1/discovery-chain/{service}"))["Chain"]
    return {target["Name"] for target in chain["Targets"].values()}


async def clusters(world):
    return set(await world.envoy.clusters()) - {"xds_cluster"}


async def until_clusters(world, expected):
    await eventually(lambda: clusters(world), expected.__eq__, within=10.0)


async def ask(world, path="/", *, host="web", method="GET", **headers):
    """Give status, body (as JSON where it is) and headers."""
    url = f"http://127.0.0.1:{world.http_port}{path}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers={"Host": host, **named}) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text) if text.startswith("{") else text, answer.headers


async def test_a_split_by_subsets_comes_changes_and_goes_under_load(delta_world, record_property):
    world = delta_world
    await write(world, HTTP)
    for version in ("v1", "v2"):
        await world.instance("web", f"web-{version}", meta={"version": version})
    await world.start()
    await world.serving("web", "web-v1", "web-v2")
    assert await clusters(world) == {"web"}
    async with world.load("web", workers=8, pause=0.0) as load:
        await write(world, SUBSETS, split(v1=90, v2=10))
        named = await target_names(world, "web")
        assert {name.split(".")[0] for name in named} == {"v1", "v2"}
        await until_clusters(world, named)
        await load.more(200)
        ninety = share(await load.more(2000))
        await write(world, split(v1=50, v2=50))
        await load.until(lambda: share(load.answers[-200:]) > 0.35, within=20.0)
        fifty = share(await load.more(2000))
        await write(world, split(v1=0, v2=100))
        await load.until(lambda: share(load.answers[-200:]) == 1.0, within=20.0)
        await world.consul.delete("/v1/config/service-splitter/web")
        await world.consul.delete("/v1/config/service-resolver/web")
        await until_clusters(world, {"web"})
        await load.more(200)
    assert not load.failures
    assert ninety == pytest.approx(0.10, abs=0.03)
    assert fifty == pytest.approx(0.50, abs=0.05)
    await world.envoy.updates()
    record_property("requests", len(load.answers))
    record_property("shares of v2 at 10 % and 50 %", (round(ninety, 3), round(fifty, 3)))


def share(answers):
    """Give the share of the second version."""
    bodies = Counter(answer.body for answer in answers)
    return bodies["web-v2"] / len(answers)


def route(destination, **match):
    return {"Match": {"HTTP": match}, "Destination": destination}


ROUTES = [
    route({"Service": "api", "PrefixRewrite": "/"}, PathPrefix="/api", Methods=["GET"]),
    route({"Service": "debug"}, Header=[{"Name": "x-debug", "Exact": "1"}]),
    route({"ServiceSubset": "v2"}, QueryParam=[{"Name": "beta", "Present": True}]),
    route({"RequestTimeout": "200ms"}, PathExact="/slow"),
    route({"NumRetries": 2, "RetryOnStatusCodes": [502]}, PathRegex="/fl[a-z]{3}"),
]


async def test_a_router_and_a_redirect(delta_world):
    world = delta_world
    await write(world, HTTP)
    for version in ("v1", "v2"):
        await echo(world, "web", f"web-{version}", meta={"version": version})
    for service in ("api", "debug"):
        await echo(world, service)
    await world.start()
    await eventually(lambda: ask(world), lambda answer: answer[0] == 200)
    default = {**SUBSETS, "DefaultSubset": "v1"}
    await write(world, default, {"Kind": "service-router", "Name": "web", "Routes": ROUTES})
    await write(
        world,
        {"Kind": "service-resolver", "Name": "old", "Redirect": {"Service": "web", "ServiceSubset": "v2"}},
    )
    await eventually(
        lambda: ask(world, "/api/users?id=1"), lambda answer: answer[1]["name"] == "api", within=10.0
    )
    _, seen, _ = await ask(world, "/api/users?id=1")
    assert (seen["name"], seen["path"]) == ("api", "/users?id=1")
    _, seen, _ = await ask(world, "/api")
    assert (seen["name"], seen["path"]) == ("api", "/")
    names = [
        (await ask(world, path, **asked))[1]["name"]
        for path, asked in (
            ("/api/users", {"method": "POST"}),
            ("/", {"x_debug": "1"}),
            ("/", {"x_debug": "2"}),
            ("/?beta=", {}),
            ("/", {}),
        )
    ]
    assert names == ["web-v1", "debug", "web-v1", "web-v2", "web-v1"]
    assert (await ask(world, "/slow"))[0] == 504
    assert {(await ask(world, "/flaky"))[0] for _ in range(4)} == {200}
    # What a redirect leads to, for a service that nobody registered.
    await eventually(lambda: ask(world, host="old"), lambda answer: answer[0] == 200, within=10.0)
    assert (await ask(world, host="old.service.consul"))[1]["name"] == "web-v2"
    assert await clusters(world) == {
        *await target_names(world, "web"), *await target_names(world, "old"), "api", "debug"
    }  # fmt: skip
    await world.envoy.updates()


async def test_failover_to_another_service_and_back(delta_world, record_property):
    world = delta_world
    await write(world, HTTP)
    await world.instance("web", "web-1", status="passing")
    await world.instance("web", "web-2", status="passing")
    await world.instance("backup")
    await world.start()
    await world.serving("web", "web-1", "web-2")
    async with world.load("web") as load:
        await write(
            world, {"Kind": "service-resolver", "Name": "web", "Failover": {"*": {"Service": "backup"}}}
        )
        (own,) = {name for name in await target_names(world, "web") if name.startswith("web.")}
        await until_clusters(world, {own, "backup"})
        load.answers.clear()
        await load.more(100)
        assert set(load.bodies()) == {"web-1", "web-2"}
        await world.consul.set_status("web-1", "critical")
        await load.until(lambda: {answer.body for answer in load.answers[-50:]} == {"web-2"})
        await world.consul.set_status("web-2", "critical")
        await load.until(lambda: {answer.body for answer in load.answers[-50:]} == {"backup"})
        await world.consul.set_status("web-2", "passing")
        await load.until(lambda: {answer.body for answer in load.answers[-50:]} == {"web-2"})
        await world.consul.delete("/v1/config/service-resolver/web")
        await until_clusters(world, {"web", "backup"})
        await load.more(50)
    assert not load.failures
    await world.envoy.updates()


@pytest.mark.slow
async def test_a_filter_that_cannot_be_used_costs_its_own_subset_alone(delta_world):
    world = delta_world
    await write(world, HTTP)
    await world.instance("web", "web-v1", meta={"version": "v1"})
    await world.instance("user")
    await world.start()
    await world.serving("web", "web-v1")
    bad = {
        "Kind": "service-resolver",
        "Name": "web",
        "DefaultSubset": "v1",
        "Subsets": {
            "v1": {"Filter": "Service.Meta.version == v1"},
            "v2": {"Filter": "Checks.Status == passing"},
        },
    }
    async with world.load("user") as users, world.load("web") as load:
        await write(world, bad)
        two = route({"ServiceSubset": "v2"}, PathPrefix="/two")
        await write(world, {"Kind": "service-router", "Name": "web", "Routes": [two]})
        await eventually(lambda: ask(world, "/two"), lambda answer: answer[0] == 503, within=10.0)
        await load.more(50)
        await users.more(50)
    assert not load.failures
    assert not users.failures
    problems = await world.server.problems()
    assert "subset-filter" in {problem["code"] for problem in problems}


# --- what Consul 1.8 cannot say yet ------------------------------------------------------------------

PREFIX = PathKind.PREFIX
CHANGES = HeaderChanges(
    add=(("x-added", "100%"), ("x-twice", "b")),
    set=(("x-set", "%ENVIRONMENT(HOME)%"),),
    remove=("x-removed",),
)


def path(value, **more):
    return RouteMatch(path=PathMatch(kind=PREFIX, value=value, **more))


def newer_chain():
    """Give a chain as Consul from 1.10 on makes it: header changes, a ring hash, a request timeout."""
    whole = Target(
        id="web", name="web.default.dc1.internal.x.consul", sni="", service="web", datacenter="dc1"
    )
    balancer = LoadBalancer(
        policy=LbPolicy.RING_HASH, hash_on=(HashOn(kind=HashKind.HEADER, name="x-user"),), ring_size=(64, 128)
    )
    routes = (
        ChainRoute(
            match=path("/CASE", ignore_case=True), treatment=Treatment(prefix_rewrite="/"), next="split"
        ),
        ChainRoute(match=path("/h"), treatment=Treatment(request=CHANGES, response=CHANGES), next="web"),
        ChainRoute(match=path("/"), treatment=Treatment(idle_timeout=30.0), next="web"),
    )
    split = Split(weight=10_000, next="web", request=HeaderChanges(set=(("x-split", "yes"),)))
    nodes = {
        "router": Router(routes=routes),
        "split": Splitter(splits=(split,)),
        "web": Resolver(target="web", request_timeout=0.3, load_balancer=balancer),
    }
    return Chain.of("web", "http", "router", nodes, {"web": whole})


async def test_headers_a_ring_and_a_request_timeout(near):
    instances = [await near.stack.enter_async_context(Echo(f"web-{number}")) for number in range(3)]
    near.feed(web=[one.port for one in instances])
    catalog = near.inputs.catalog.value
    near.inputs.catalog.publish(replace(catalog, entries=ConfigEntries(chains={"web": newer_chain()})))
    await near.start_envoy()
    for user in ("ann", "bob", "eve"):
        names = {(await ask(near, x_user=user))[1]["name"] for _ in range(8)}
        assert len(names) == 1
    users = {(await ask(near, x_user=str(number)))[1]["name"] for number in range(40)}
    assert users == {one.name for one in instances}
    assert (await ask(near, "/slow"))[0] == 504
    _, seen, answered = await ask(near, "/h", x_removed="1", x_set="mine", x_twice="a")
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["x-added"] == "100%"
    assert headers["x-set"] == "%ENVIRONMENT(HOME)%"
    assert headers["x-twice"] in {"a", "a,b", "a, b"}
    assert "x-removed" not in headers
    assert (answered["x-added"], answered["x-set"]) == ("100%", "%ENVIRONMENT(HOME)%")
    _, seen, _ = await ask(near, "/Case/x?y=1")
    assert (seen["path"], seen["headers"]["x-split"]) == ("/x?y=1", "yes")
    await near.envoy.updates()


@pytest.mark.parametrize("mode", ["delta"])
async def test_a_chain_comes_and_goes_where_services_are_discovered_on_demand(near, mode, record_property):
    near.recorder.excuse("a cluster is asked for by the first request that needs it", Rule.ROUTES)
    near.recorder.excuse("at the start there is nothing to ask for", Rule.WARMING)
    instances = [await near.stack.enter_async_context(Echo(f"web-{number}")) for number in range(2)]
    near.feed(web=[one.port for one in instances])
    plain = near.inputs.catalog.value
    chained = replace(plain, entries=ConfigEntries(chains={"web": newer_chain()}))
    listener = replace(
        DEFAULT_LISTENER, address="127.0.0.1", port=near.http_port, discovery=Discovery.ON_DEMAND
    )
    near.rule(listeners=(listener,))
    await near.start_envoy()
    async with Load(f"http://127.0.0.1:{near.http_port}/", host="web") as load:
        for catalog in (chained, plain, chained, plain):
            near.inputs.catalog.publish(catalog)
            await load.more(100)
    assert not load.failures
    record_property("slowest request, seconds", round(max(answer.seconds for answer in load.answers), 3))
