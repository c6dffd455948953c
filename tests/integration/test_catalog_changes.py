import asyncio
import time

import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration


@pytest.mark.shows("T-OR-01")
async def test_cold_start(world, record_property):
    await world.instance("user")
    await world.instance("order")
    await world.start_server()
    started = time.monotonic()
    await world.start_envoy()
    took = time.monotonic() - started
    assert took < 2
    record_property("live after, seconds", round(took, 3))
    assert (await world.get("user")).body == "user"
    assert (await world.get("order.service.dc1.consul")).body == "order"
    stats = await world.envoy.stats("init_fetch_timeout|update_rejected|warming")
    assert "cluster_manager.cds.update_rejected" in stats
    assert not any(stats.values()), stats
    assert (await world.envoy.updates())["cluster_manager.cds.update_success"] == 1


@pytest.mark.shows("T-OR-12")
async def test_a_third_instance_takes_traffic_within_a_second_and_disturbs_nobody_else(
    world, record_property
):
    await world.instance("user", "user-1")
    await world.instance("user", "user-2")
    await world.instance("order")
    await world.start()
    await world.serving("user", "user-1", "user-2")
    before = await world.envoy.updates()
    third = await world.instance("user", "user-3", register=False)
    async with world.load("user") as load:
        await load.more(50)
        registered = time.monotonic()
        await world.register("user", third)
        await load.until(lambda: third.requests > 0, within=1.0)
        record_property("first request after, seconds", round(time.monotonic() - registered, 3))
    assert not load.failures
    after = await world.envoy.updates()
    assert {name for name in after if after[name] != before[name]} == {"cluster.user.update_success"}
    assert after["cluster.user.update_success"] == before["cluster.user.update_success"] + 1


async def test_a_critical_instance_stops_taking_traffic_and_comes_back(world):
    await world.instance("user", "user-1")
    sick = await world.instance("user", "user-2", status="passing")
    await world.start()
    await world.serving("user", "user-1", "user-2")
    async with world.load("user") as load:
        await load.more(20)
        await world.consul.set_status("user-2", "critical")
        await eventually(lambda: _eds(world, sick), "UNHEALTHY".__eq__, within=1.0)
        await load.more(20)  # what was under way
        taken = sick.requests
        await load.more(200)
        assert sick.requests == taken
        await world.consul.set_status("user-2", "passing")
        await load.until(lambda: sick.requests > taken, within=1.0)
    assert not load.failures


@pytest.mark.shows("T-OR-12")
async def test_a_deregistered_instance_leaves(world):
    await world.instance("user", "user-1")
    leaving = await world.instance("user", "user-2")
    await world.instance("order")
    await world.start()
    await world.serving("user", "user-1", "user-2")
    before = await world.envoy.updates()
    async with world.load("user") as load:
        await load.more(20)
        await world.consul.deregister("user-2")
        await eventually(lambda: world.envoy.hosts("user"), lambda hosts: leaving.address not in hosts)
        assert len(await world.envoy.hosts("user")) == 1
        await load.more(100)
    assert not load.failures
    after = await world.envoy.updates()
    assert {name for name in after if after[name] != before[name]} == {"cluster.user.update_success"}


async def test_weights_share_the_requests_and_can_be_changed_under_load(world, record_property):
    one = await world.instance("user", "user-1", weights=(1, 1))
    three = await world.instance("user", "user-3", weights=(3, 1))
    await world.start()
    await world.serving("user", "user-1", "user-3")
    async with world.load("user", workers=8, pause=0) as load:
        before = _share(await load.more(4000), "user-3")
        assert before == pytest.approx(75, abs=3)
        await world.register("user", one, weights=(9, 1))
        await eventually(lambda: _weights(world), {one.address: 9, three.address: 3}.__eq__, within=1.0)
        await load.more(20)  # what was under way
        after = _share(await load.more(2000), "user-3")
        assert after == pytest.approx(25, abs=3)
        record_property("shares, percent", f"{before:.1f} then {after:.1f}")
    assert not load.failures


async def test_warning_changes_the_weight(delta_world):
    world = delta_world
    await world.instance("user", "user-1", weights=(10, 10))
    warned = await world.instance("user", "user-2", weights=(10, 2), status="passing")
    await world.start()
    await eventually(lambda: _weights(world), lambda weights: weights.get(warned.address) == 10)
    await world.consul.set_status("user-2", "warning")
    await eventually(lambda: _weights(world), lambda weights: weights[warned.address] == 2)
    assert (await _eds(world, warned)) == "HEALTHY"


async def test_a_removed_service_answers_503_with_a_reason_and_the_others_notice_nothing(world):
    await world.instance("user")
    await world.instance("order")
    listener = {"name": "shop", "address": f"127.0.0.1:{world.http_port}"}
    listener["routes"] = [{"hosts": ["shop.test"], "service": "user"}]
    listener["all_services"] = True
    await world.start({"default_listener": False, "listeners": [listener]})
    before = await world.envoy.updates()
    assert (await world.get("shop.test")).body == "user"
    async with world.load("order") as load:
        await load.more(50)
        await world.consul.deregister("user")
        answer = await eventually(
            lambda: world.get("shop.test"), lambda a: a.status == 503 and "no such service: user" in a.body
        )
        # Its cluster outlives it, with nothing in it, so that nothing has to warm when it is back.
        assert await eventually(lambda: world.envoy.hosts("user"), lambda hosts: not hosts) == {}
        assert "user" in await world.envoy.clusters()
        answer = await world.get("user")
        assert answer.status == 503
        assert "no service with this host name" in answer.body
        await load.more(50)
        # It comes back as if nothing had been.
        await world.instance("user")
        await eventually(lambda: world.get("shop.test"), lambda a: a.body == "user")
    assert not load.failures
    after = await world.envoy.updates()
    for untouched in (
        "cluster.order.update_success",
        "listener_manager.lds.update_success",
        "cluster_manager.cds.update_success",
    ):
        assert after[untouched] == before[untouched]


async def test_the_last_instance_gone_critical_still_gets_the_traffic(delta_world):
    world = delta_world
    await world.instance("user", "user-1", status="passing")
    await world.start()
    await world.serving("user", "user-1")
    await world.consul.set_status("user-1", "critical")
    await eventually(lambda: world.envoy.stat("cluster.user.membership_healthy"), (0).__eq__, within=2.0)
    assert (await world.get("user")).body == "user-1"


async def test_a_burst_of_changes_ends_in_the_newest_state(world):
    fleet = [await world.instance("user", f"user-{n}", register=False) for n in range(12)]
    await world.instance("user", "user-first")
    await world.start()
    await asyncio.gather(*(world.register("user", one) for one in fleet))
    await eventually(lambda: world.envoy.hosts("user"), lambda hosts: len(hosts) == 13)
    await asyncio.gather(*(world.consul.deregister(one.name) for one in fleet))
    await eventually(lambda: world.envoy.hosts("user"), lambda hosts: len(hosts) == 1)
    await world.envoy.updates()


async def _eds(world, upstream):
    return (await world.envoy.hosts("user"))[upstream.address].eds


async def _weights(world):
    return {address: host.weight for address, host in (await world.envoy.hosts("user")).items()}


def _share(answers, name):
    return 100 * sum(answer.body == name for answer in answers) / len(answers)
