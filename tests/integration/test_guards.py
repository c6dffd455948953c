"""A fleet that seems to shrink, with a real Consul and a real Envoy."""

import asyncio
import json

import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

HOLD = 5.0
COUNT = 12


async def test_a_node_that_takes_most_services_with_it_is_held_and_then_believed(
    delta_world, record_property
):
    world = delta_world
    await world.instance("user")
    for number in range(COUNT):
        await on_a_node_of_its_own(world, f"far-{number:02}")
    await world.start({"guards": {"hold": f"{HOLD:g}s", "remove_clusters_after": "0s"}})
    for number in range(COUNT):
        await world.serving(f"far-{number:02}", f"far-{number:02}")
    loop = asyncio.get_running_loop()
    async with world.load("user") as user, world.load("far-11", workers=1) as far:
        lost = loop.time()
        await world.consul.put("/v1/catalog/deregister", {"Node": "far"})
        await eventually(lambda: held(world), ["fleet-shrink"].__eq__, within=10.0)
        # What went in pieces before it was seen how much goes is back as well.
        for number in range(COUNT):
            await world.serving(f"far-{number:02}", f"far-{number:02}")
        assert "held-back" in {problem["code"] for problem in await world.server.problems()}
        assert (await world.server.metrics()).total("xds_holds", guard="fleet-shrink") == 1
        assert "fleet-shrink" in await world.server.text("/readyz?verbose")
        # What is new is served all the same.
        await world.instance("new")
        await world.serving("new", "new")
        # Consul has said the same for long enough.
        await eventually(lambda: held(world), [].__eq__, within=HOLD + 10.0)
        record_property("held, seconds", round(loop.time() - lost, 1))
        for number in range(COUNT):
            await eventually(lambda n=number: world.get(f"far-{n:02}"), lambda one: one.status == 503)
        await user.more(50)
    assert not user.failures
    record_property("requests failed before the hold", sum(one.at < lost + HOLD for one in far.failures))
    assert [line["hold"] for line in world.server.events("guard.held")] == ["fleet-shrink"]
    assert [line["accepted"] for line in world.server.events("guard.released")] == [False]
    await world.envoy.updates()


async def test_the_last_listener_stays_when_its_service_goes(delta_world):
    world = delta_world
    listener = {"name": "db", "address": f"127.0.0.1:{world.http_port}", "protocol": "tcp", "service": "db"}
    await world.instance("db")
    await world.start({"default_listener": False, "listeners": [listener]})
    await world.serving("db", "db")
    await world.consul.deregister("db")
    await eventually(lambda: held(world), ["empty/listener"].__eq__, within=10.0)
    await eventually(lambda: world.envoy.hosts("db"), lambda hosts: not hosts)
    assert await world.envoy.stat("listener_manager.total_listeners_active") == 1
    # It ends by itself, and the listener has never drained.
    await world.instance("db", "db-again")
    await world.serving("db", "db-again")
    await eventually(lambda: held(world), [].__eq__, within=10.0)
    stats = await world.envoy.stats("listener_manager[.]listener_(removed|modified)$")
    assert not any(stats.values())
    await world.envoy.updates()


async def held(world):
    return [hold["id"] for hold in json.loads(await world.server.text("/state"))["holds"]]


async def on_a_node_of_its_own(world, name):
    """Register an instance on a node without an agent, which goes with all that is on it."""
    upstream = await world.instance(name, register=False)
    service = {"ID": name, "Service": name, "Address": "127.0.0.1", "Port": upstream.port}
    node = {"Node": "far", "Address": "127.0.0.1", "Service": service}
    await world.consul.put("/v1/catalog/register", node)
