"""Services that describe themselves in a real Consul, and what a real Envoy makes of it."""

from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from tests.rig.eventually import eventually
from tests.rig.load import ask
from tests.rig.ports import free_port
from tests.rig.upstream import Upstream
from tests.translate.words.registrations import said
from xds_server.model.catalog import Instance

pytestmark = pytest.mark.integration

CLAIMS = [
    {"hosts": ["shop.example.com"], "path_prefix": "/api", "services": ["shop", "late"]},
    {"hosts": ["shop.example.com"], "services": ["cart"]},
    {"hosts": ["*.dev.example.com"], "services": ["*"]},
]
REGISTRATIONS = {"claims": CLAIMS, "dialects": ["fabio", "traefik"]}


class Echo(Upstream):
    """Answers its name and the path that it was asked for."""

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.requests += 1
        return web.Response(text=f"{self.name} {request.path_qs}")


async def register(world, service: str, name: str = "", **words: Any) -> Echo:
    upstream = await world.stack.enter_async_context(Echo(name or service))
    await world.register(service, upstream, **words)
    return upstream


async def get(world, host: str, path: str) -> str:
    """Give what a request is answered with: its body, or the status if it is not 200."""
    answer = await ask(world.url.rstrip("/") + path, host=host)
    return answer.body if answer.status == 200 else str(answer.status)


async def leads(world, host: str, path: str, body: str) -> None:
    await eventually(lambda: get(world, host, path), body.__eq__)


async def problems(world) -> set[tuple[str, str]]:
    """Give code and source of every problem that the server tells of."""
    return {(one["code"], one["source"]) for one in await world.server.problems()}


async def test_routes_are_granted_where_the_operator_allows_them(delta_world):
    world = delta_world
    await register(world, "shop", meta={"xds-route-api": "shop.example.com/api/*", "xds-api-strip": "/api"})
    await register(world, "cart", tags=["xds.route=shop.example.com/cart/*"])
    await register(
        world, "rogue", meta={"xds-route": "shop.example.com/", "xds-route-user": "shop.service.consul"}
    )
    await world.start({"registrations": REGISTRATIONS})

    await leads(world, "shop.example.com", "/api/orders?x=1", "shop /orders?x=1")
    await leads(world, "shop.example.com", "/cart/1", "cart /cart/1")
    assert await get(world, "shop.example.com", "/") == "404"
    await leads(world, "shop.service.consul", "/", "shop /")

    # Who comes later does not get what another one has, and the one that has it does not notice.
    await register(world, "late", meta={"xds-route": "shop.example.com/api/*"})
    await leads(world, "late", "/", "late /")
    assert await get(world, "shop.example.com", "/api/orders") == "shop /orders"
    assert {
        ("route-contested", 'service "late" meta xds-route'),
        ("route-denied", 'service "rogue" meta xds-route'),
        ("route-denied", 'service "rogue" meta xds-route-user'),
    } <= await problems(world)

    # What an instance no longer says is gone.
    await world.consul.deregister("shop")
    await leads(world, "shop.example.com", "/api/orders", "late /api/orders")


async def test_subsets_and_canaries_are_reached_apart(delta_world):
    world = delta_world
    edge = free_port()
    await register(world, "user", "user-1", meta={"xds-subset": "v1"})
    await register(world, "user", "user-2", tags=["xds.subset=v2"])
    canary = await register(world, "user", "user-3", tags=["xds.canary", "xds.route=try.dev.example.com/"])
    routes = [
        {"hosts": ["one.example.com"], "service": "user@v1"},
        {"hosts": ["two.example.com"], "service": "user@v2"},
        {"hosts": ["new.example.com"], "split": {"user@v2": 1, "user@canary": 1}},
    ]
    listeners = [{"name": "edge", "address": f"127.0.0.1:{edge}", "routes": routes}]
    await world.start({"registrations": REGISTRATIONS, "listeners": listeners})

    async def all_of(url: str, host: str) -> set[str]:
        return {(await ask(url, host=host)).body for _ in range(12)}

    at_edge = f"http://127.0.0.1:{edge}/"
    await eventually(lambda: all_of(at_edge, "one.example.com"), {"user-1 /"}.__eq__)
    await eventually(lambda: all_of(at_edge, "two.example.com"), {"user-2 /"}.__eq__)
    await eventually(lambda: all_of(world.url, "user"), {"user-1 /", "user-2 /"}.__eq__)
    assert canary.requests == 0
    await leads(world, "try.dev.example.com", "/", "user-3 /")
    await eventually(lambda: all_of(at_edge, "new.example.com"), {"user-2 /", "user-3 /"}.__eq__)


async def test_consul_takes_the_filters_as_we_do(delta_world):
    """They are Consul's expressions, so that people can try them."""
    world = delta_world
    pairs: list[tuple[dict[str, str], list[str]]] = [
        ({"xds-subset": "v1"}, []),
        ({"xds-subset": "v1", "xds-canary": "false"}, ["xds.subset=v2", "xds.canary"]),
        ({}, ["xds.subset=v2", "xds.canary=true"]),
        ({}, []),
    ]
    instances = [
        Instance(
            node="n", id=f"i{n}", address="127.0.0.1", port=n + 1, meta=tuple(meta.items()), tags=tuple(tags)
        )
        for n, (meta, tags) in enumerate(pairs)
    ]
    for one in instances:
        await world.consul.register("web", id=one.id, port=one.port, meta=dict(one.meta), tags=list(one.tags))
    found = said(*instances)
    expected = {"canary": ["i2"], "v1": ["i0", "i1"], "v2": ["i2"]}
    assert [name for name, _ in found.subsets] == list(expected)

    for name, text in found.subsets:
        rows = await world.consul.get(f"/v1/health/service/web?filter={quote(text)}")
        assert sorted(row["Service"]["ID"] for row in rows) == expected[name]


async def test_tags_of_fabio_and_traefik_go_on_to_work(delta_world):
    world = delta_world
    rule = "Host(`t.dev.example.com`) && (PathPrefix(`/x`) || Path(`/y`))"
    await register(
        world,
        "old",
        tags=[
            "urlprefix-f.dev.example.com/static strip=/static",
            "urlprefix-f.dev.example.com/admin allow=ip:10.0.0.0/8",
        ],
    )
    await register(
        world,
        "web",
        tags=[
            "traefik.enable=true",
            f"traefik.http.routers.r.rule={rule}",
            "traefik.http.routers.r.middlewares=s",
            "traefik.http.middlewares.s.stripprefix.prefixes=/x,/y",
            "traefik.http.routers.admin.rule=Host(`admin.dev.example.com`)",
            "traefik.http.routers.admin.middlewares=auth",
            "traefik.http.middlewares.auth.basicauth.users=a:b",
        ],
    )
    await world.start({"registrations": REGISTRATIONS})

    await leads(world, "f.dev.example.com", "/static/a.css", "old /a.css")
    await leads(world, "t.dev.example.com", "/x/1", "web /1")
    await leads(world, "t.dev.example.com", "/x", "web /")
    await leads(world, "t.dev.example.com", "/y", "web /")
    assert await get(world, "t.dev.example.com", "/y/1") == "404"
    assert await get(world, "f.dev.example.com", "/admin") == "404"
    assert await get(world, "admin.dev.example.com", "/") == "503"
    assert {code for code, _ in await problems(world)} == {"dialect-unsupported"}
