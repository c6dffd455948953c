"""An operator's hand in the whole way: real Consul, real Envoy, requests all the time."""

import asyncio
import json
import time

import pytest

from tests.cli.invoke import xds_server
from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

CHURN = 20


async def operate(world, *words):
    """Run a command on the socket of the world's server; give what it prints as JSON."""
    socket = f"unix:{world.directory}/xds-server-{world.server.admin_port}.sock"
    result = await asyncio.to_thread(xds_server, *words, "--admin", socket, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def endpoints(envoy):
    """Give every cluster with its addresses."""
    return {name: frozenset(hosts) for name, hosts in (await envoy.clusters()).items()}


async def config(envoy):
    """Give what Envoy was sent, without the times: listeners, routes, clusters, endpoints, and versions."""
    dump = await envoy.config_dump()
    wanted = ("ListenersConfigDump", "RoutesConfigDump", "ClustersConfigDump", "EndpointsConfigDump")
    return {name: without_times(dump[name]) for name in wanted if name in dump}


def without_times(value):
    if isinstance(value, dict):
        times = ("last_updated", "version_info")
        return {key: without_times(one) for key, one in value.items() if key not in times}
    if isinstance(value, list):
        return sorted((without_times(one) for one in value), key=json.dumps)
    return value


async def churn(world, count):
    """Change the catalog so often: instances come, weights change, instances go."""
    extra = await world.instance("extra", "extra-1", register=False)
    for number in range(count):
        if number % 4 == 3:
            await world.consul.deregister("extra-1")
        else:
            await world.register("extra", extra, weights=(number + 1, 1))


async def test_a_freeze_holds_through_churn_and_its_release_catches_up(delta_world, record_property):
    world = delta_world
    await world.instance("user", "user-1")
    await world.start()
    async with world.load("user", workers=2, pause=0.01) as load:
        await load.more(20)
        await operate(world, "freeze", "--reason", "INC-42")
        sent, before = await world.server.sent(), await endpoints(world.envoy)
        await churn(world, CHURN)
        late = await world.instance("late")
        second = await world.instance("user", "user-2")
        # That the churn was read and nothing came of it, and not that it was not read yet.
        await eventually(lambda: knows(world, 2), within=15.0)
        await load.more(100)
        assert await world.server.sent() == sent
        assert await endpoints(world.envoy) == before
        assert await world.server.status("/readyz") == 200
        assert "frozen" in await world.server.text("/readyz")
        assert (await world.server.metrics()).total("xds_frozen") == 1
        # A new Envoy gets the frozen state.
        first = world.envoy
        fresh = await world.start_envoy(node="edge-2", amend=on_another_port)
        assert "late" not in await endpoints(fresh)
        assert "user" in await endpoints(fresh)

        released = time.monotonic()
        await operate(world, "freeze", "--release")
        await eventually(
            lambda: endpoints(first), lambda seen: late.address in seen.get("late", ()), within=10.0
        )
        await eventually(lambda: endpoints(first), lambda seen: second.address in seen["user"], within=10.0)
        record_property("converged_after_s", round(time.monotonic() - released, 2))
        await load.until(lambda: load.bodies()["user-2"] > 0)
    assert not load.failures, load.failures[:3]
    record_property("requests", len(load.answers))
    record_property("failed", len(load.failures))


def on_another_port(_bootstrap):
    """Nothing: both Envoys listen with SO_REUSEPORT, and only the admin port has to differ."""


async def knows(world, services):
    state = json.loads(await world.server.text("/state"))
    return state["services"] >= services


async def test_a_rollback_brings_the_bytes_of_before_under_load(delta_world, record_property):
    world = delta_world
    await world.instance("user", "user-1")
    await world.instance("order")
    await world.start({"services": {"user": {"connect_timeout": "2s"}}})
    before = await config(world.envoy)
    async with world.load("user", workers=2, pause=0.01) as load:
        await load.more(20)
        # A bad change: another timeout, and a service that is hidden.
        settings = {"services": {"user": {"connect_timeout": "7s"}}, "hidden_services": ["consul", "order"]}
        world.server.write_settings(world.settings(settings))
        await eventually(lambda: endpoints(world.envoy), lambda seen: "order" not in seen, within=10.0)
        bad = await config(world.envoy)
        assert bad != before
        await load.more(50)

        asked = time.monotonic()
        answer = await operate(world, "rollback", "--reason", "INC-43")
        assert answer["operator"]["kind"] == "rolled-back"
        await eventually(lambda: config(world.envoy), before.__eq__, within=10.0)
        record_property("rolled_back_after_s", round(time.monotonic() - asked, 2))
        assert (await world.get("order")).body == "order"
        await load.more(50)

        await operate(world, "freeze", "--release")
        await eventually(lambda: config(world.envoy), bad.__eq__, within=10.0)
    assert not load.failures, load.failures[:3]
    record_property("requests", len(load.answers))
    record_property("failed", len(load.failures))
    await world.envoy.updates()


async def test_what_a_guard_holds_is_released_by_accept(delta_world, record_property):
    world = delta_world
    await world.instance("user", "user-1")
    await world.start({"defaults": {"last_endpoint": "keep"}})
    async with world.load("user", workers=2, pause=0.01) as load:
        await load.more(20)
        await world.instance("order")
        await world.serving("order", "order")
        await world.consul.deregister("order")
        await eventually(lambda: holds(world), lambda ids: ids, within=15.0)
        (hold,) = await holds(world)
        assert "order" in hold
        assert (await endpoints(world.envoy))["order"]
        await operate(world, "accept", hold)
        await eventually(lambda: endpoints(world.envoy), lambda seen: not seen.get("order"), within=10.0)
        await eventually(lambda: holds(world), lambda ids: hold not in ids, within=10.0)
        assert world.server.events("control.accepted")[0]["holds"] == hold
    assert not load.failures, load.failures[:3]
    record_property("requests", len(load.answers))
    record_property("failed", len(load.failures))


async def holds(world):
    return [one["id"] for one in json.loads(await world.server.text("/state"))["holds"]]
