import asyncio
import statistics

import aiohttp
import pytest
import yaml

from tests.rig.conversation import Rule
from tests.rig.envoy import Envoy, envoy_version
from tests.rig.eventually import eventually
from tests.rig.load import ask
from tests.rig.ports import free_port
from tests.rig.server import XdsServer
from tests.rig.upstream import Upstream

pytestmark = [pytest.mark.integration, pytest.mark.shows("P-084")]

FAST = 0.5
"""Seconds; the time of a request that is held in vain would be many times that."""


def on_demand(port):
    return {"default_listener": {"address": f"127.0.0.1:{port}", "discovery": "on_demand"}}


@pytest.fixture
def asking():
    if envoy_version() < (1, 37):
        pytest.skip("this Envoy refuses VHDS over ADS")


async def held(world):
    return set(await world.envoy.clusters()) - {"xds_cluster"}


@pytest.fixture
async def world(asking, delta_world):
    """One whose Envoys do not wait for their first virtual hosts (P-081), and for nothing else either."""
    recorder = delta_world.recorder
    recorder.excuse("Envoy gives up waiting for its first virtual hosts by design", Rule.WARMING)
    recorder.excuse("Envoy asks for a cluster when a route to it is used", Rule.ROUTES)
    yield delta_world
    for envoy in delta_world.envoys:
        assert [one for one in await envoy.waits() if ".vhds." not in one] == []


@pytest.fixture
async def lazy(world):
    """A world of three services with nothing asked for yet."""
    for name in ("user", "order", "cart"):
        await world.instance(name)
    await world.start(on_demand(world.http_port))
    return world


async def patiently(url, host):
    """Ask as a client that waits longer than Envoy may take to come back to its server."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, headers={"Host": host}) as answer,
    ):
        return answer.status, await answer.text()


async def restart(world):
    await world.server.kill()
    await world.server.start()
    await eventually(lambda: world.envoy.stat("control_plane.connected_state"), (1).__eq__, within=40.0)


@pytest.mark.shows("P-081", "T-DL-15")
async def test_envoy_is_ready_at_once_although_it_was_told_of_no_service(world, record_property):
    await world.instance("user")
    await world.start_server(on_demand(world.http_port))
    started = asyncio.get_running_loop().time()
    await world.start_envoy()
    took = asyncio.get_running_loop().time() - started
    record_property("live after, seconds", round(took, 3))
    assert took < 1.0
    assert await held(world) == set()
    assert (await world.envoy.updates())["listener_manager.lds.update_success"] == 1


async def test_a_first_request_is_answered_and_only_what_is_used_is_held(lazy):
    assert (await lazy.get("user")).body == "user"
    assert await held(lazy) == {"user"}
    # By every other name, with any port and in any case, it is the same service.
    for host in ("user:8080", "USER", "user.service.consul", "User.Service.DC1.Consul:80"):
        assert (await lazy.get(host)).body == "user"
    assert (await lazy.get("order.service.dc1.consul:1234")).body == "order"
    assert await held(lazy) == {"user", "order"}
    await lazy.envoy.updates()


async def test_many_first_requests_at_once_are_all_answered(lazy):
    hosts = ["user", "user:1", "user:2", "order", "order:1", "user.service.consul", "nobody", "nobody:1"] * 4
    answers = await asyncio.gather(*(lazy.get(host) for host in hosts))
    for host, answer in zip(hosts, answers, strict=True):
        assert (answer.status, answer.body.split("\n")[0]) == (
            (503, "no service with this host name is in the catalog")
            if host.startswith("nobody")
            else (200, host.partition(":")[0].partition(".")[0])
        )
    await lazy.envoy.updates()


async def test_a_first_request_with_a_body_keeps_it(lazy):
    async with (
        aiohttp.ClientSession() as session,
        session.post(lazy.url, data=b"x" * 200_000, headers={"Host": "user"}) as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "user")


async def test_an_unknown_host_fails_fast_however_it_is_written(lazy, record_property):
    hosts = [
        "nobody",
        "nobody:80",
        "nobody:81",
        "NOBODY",
        "a.b.c",
        "[::1]",
        "[::1]:80",
        "10.0.0.1",
        "x" * 4000,
    ]
    answers = [await lazy.get(host) for host in hosts for _ in range(3)]
    assert {answer.status for answer in answers} == {503}
    assert {answer.body for answer in answers} == {"no service with this host name is in the catalog\n"}
    assert max(answer.seconds for answer in answers) < FAST
    record_property("unknown host, median ms", round(statistics.median(a.seconds for a in answers) * 1000, 1))
    # None of that has cost anything else.
    assert (await lazy.get("user")).body == "user"
    assert await held(lazy) == {"user"}
    assert len(lazy.server.events("stream.opened")) == 1
    await lazy.envoy.updates()


async def test_a_service_that_was_asked_for_in_vain_is_served_once_it_is_there(lazy):
    for host in ("late", "late:8080", "late.service.consul"):
        assert (await lazy.get(host)).status == 503
    await lazy.instance("late")
    for host in ("late", "late:8080", "late.service.consul", "late:9"):
        await eventually(lambda host=host: lazy.get(host), lambda answer: answer.body == "late")
    await lazy.envoy.updates()


async def test_the_endpoints_of_a_used_service_follow_changes_and_others_do_not_show(lazy):
    await lazy.get("user")
    second = await lazy.instance("user", "user-2")
    await lazy.instance("order", "order-2")
    await lazy.serving("user", "user", "user-2")
    await lazy.consul.deregister("user-2")
    await eventually(lambda: lazy.envoy.hosts("user"), lambda hosts: second.address not in hosts)
    assert await held(lazy) == {"user"}


async def test_a_removed_service_fails_fast_and_comes_back(lazy):
    lazy.recorder.excuse("a virtual host has another name than what it was asked for by", Rule.ASKED)
    await lazy.get("user:8080")
    await lazy.get("order")
    async with lazy.load("order") as load:
        await load.more(20)
        await lazy.consul.deregister("user")
        await eventually(lambda: lazy.get("user:8080"), lambda answer: answer.status == 503)
        answer = await lazy.get("user")
        assert (answer.status, answer.seconds < FAST) == (503, True)
        # Its cluster outlives it, with nothing in it.
        await eventually(lambda: lazy.envoy.hosts("user"), lambda hosts: not hosts)
        await lazy.instance("user", "user-again")
        await eventually(lambda: lazy.get("user:8080"), lambda answer: answer.body == "user-again")
        await load.more(20)
    assert not load.failures
    await lazy.envoy.updates()


async def test_a_restarted_server_finds_envoy_as_it_left_it(lazy):
    await lazy.get("user:8080")
    await lazy.get("nobody:1")
    before = await lazy.envoy.updates()
    async with lazy.load("user") as load:
        await load.more(20)
        await restart(lazy)
        assert (await lazy.get("order")).body == "order"
        await load.more(20)
    assert not load.failures
    assert (await lazy.get("nobody:1")).status == 503
    assert await held(lazy) == {"user", "order"}
    after = await lazy.envoy.updates()
    for untouched in ("cluster.user.update_success", "listener_manager.lds.update_success"):
        assert after[untouched] == before[untouched]


async def test_what_changed_while_the_server_was_away_is_made_up_for(lazy):
    for host in ("user:8080", "order", "cart.service.consul", "late:1"):
        await lazy.get(host)
    await lazy.server.kill()
    await lazy.consul.deregister("user")
    await lazy.instance("cart", "cart-2")
    await lazy.instance("late")
    waiting = asyncio.create_task(patiently(lazy.url, "late:2"))
    await lazy.server.start()
    assert await waiting == (200, "late")
    assert (await lazy.get("late:1")).body == "late"
    await eventually(lambda: lazy.get("user:8080"), lambda answer: answer.status == 503)
    await lazy.serving("cart", "cart", "cart-2")
    await eventually(lambda: held(lazy), {"order", "cart", "late"}.__eq__)
    await lazy.envoy.updates()


async def test_routes_of_the_operator_and_other_listeners_have_what_they_need(world):
    for name in ("user", "order", "cart", "idle", "database"):
        await world.instance(name)
    tcp_port = free_port()
    routes = [
        {"hosts": ["shop.test"], "path_prefix": "/cart", "service": "cart"},
        {"hosts": ["half.test"], "split": {"user": 1, "order": 1}},
    ]
    lazy = {"name": "lazy", "address": f"127.0.0.1:{world.http_port}", "discovery": "on_demand"}
    tcp = {"name": "db", "address": f"127.0.0.1:{tcp_port}", "protocol": "tcp", "service": "database"}
    listeners = [{**lazy, "all_services": True, "routes": routes}, tcp]
    await world.start({"default_listener": False, "listeners": listeners})
    assert await held(world) == {"database"}
    assert (await ask(world.url + "cart/1", host="shop.test")).body == "cart"
    # A path without a route is Envoy's own 404, as on every listener, and no service that is missing.
    assert (await world.get("shop.test")).status == 404
    assert await held(world) == {"database", "cart"}
    await world.serving("half.test", "user", "order")
    assert (await ask(f"http://127.0.0.1:{tcp_port}/", host="any")).body == "database"
    assert await held(world) == {"database", "cart", "user", "order"}
    await world.envoy.updates()


async def test_a_listener_may_change_how_it_discovers_under_load(world):
    for name in ("user", "order"):
        await world.instance(name)
    await world.start()
    eager, lazy = world.settings(), on_demand(world.http_port)
    async with world.load("user", pause=0.005, fresh=True) as load:
        await load.more(20)
        for settings, wanted in ((lazy, {"user"}), (eager, {"user", "order"})):
            world.server.write_settings(settings)
            await eventually(lambda: held(world), wanted.__eq__, within=10.0)
            await load.more(10)  # what was under way in the old listener
            assert not [answer for answer in await load.more(50) if answer.status != 200]
    # Each worker may have had one request in the old listener while what that led by went.
    assert len(load.failures) <= 8
    await world.envoy.updates()


async def test_an_envoy_that_cannot_ask_has_everything(tmp_path, mode):
    if mode == "delta" and envoy_version() >= (1, 37):
        pytest.skip("this Envoy can ask")
    async with (
        Upstream("one") as one,
        served(tmp_path, {"user": one, "order": one}) as (server, port),
        Envoy(tmp_path, servers=[server.address], mode=mode) as envoy,
    ):
        assert (await ask(f"http://127.0.0.1:{port}/", host="user")).body == "one"
        assert (await ask(f"http://127.0.0.1:{port}/", host="nobody")).status == 503
        assert set(await envoy.clusters()) == {"user", "order", "xds_cluster"}


async def test_of_a_thousand_services_two_are_held(asking, tmp_path, record_property):
    async with (
        Upstream("one") as one,
        served(tmp_path, dict.fromkeys((f"service-{n}" for n in range(1000)), one)) as (server, port),
        Envoy(tmp_path, servers=[server.address], mode="delta") as envoy,
    ):
        url = f"http://127.0.0.1:{port}/"
        assert set(await envoy.clusters()) == {"xds_cluster"}
        for name in ("service-7", "service-77"):
            assert (await ask(url, host=name)).body == "one"
        assert set(await envoy.clusters()) == {"xds_cluster", "service-7", "service-77"}
        hosts = [f"service-{n}" for n in range(100, 150)]
        first = [await ask(url, host=host) for host in hosts]
        again = [await ask(url, host=host) for host in hosts]
        unknown = [await ask(url, host=f"nobody-{n}") for n in range(50)]
        assert {answer.status for answer in (*first, *again)} == {200}
        assert {answer.status for answer in unknown} == {503}
        for name, answers in (("first", first), ("second", again), ("unknown", unknown)):
            times = [answer.seconds * 1000 for answer in answers]
            figures = f"median {statistics.median(times):.1f}, slowest {max(times):.1f}"
            record_property(f"{name} request, ms", figures)
        assert statistics.median(answer.seconds for answer in first) < FAST
        await envoy.updates()


def served(directory, services):
    """Give a context: a server on a catalog file with an on-demand default listener, and that one's port."""
    return _Served(directory, services)


class _Served:
    def __init__(self, directory, services):
        catalog = directory / "catalog.yaml"
        catalog.write_text(
            yaml.safe_dump(
                {
                    "services": {
                        name: {"instances": [{"address": one.host, "port": one.port}]}
                        for name, one in services.items()
                    }
                }
            )
        )
        self._port = free_port()
        self._server = XdsServer(directory, ("--catalog", str(catalog)), on_demand(self._port))

    async def __aenter__(self):
        return await self._server.__aenter__(), self._port

    async def __aexit__(self, *error):
        await self._server.__aexit__(*error)
