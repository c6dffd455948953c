import asyncio
import json

from tests.rig.eventually import eventually

HOLD = 2.0
SETTINGS = {
    "guards": {"last_endpoint_hold": f"{HOLD:g}s", "remove_clusters_after": "2s"},
    "services": {
        "order": {"last_endpoint": "keep"},
        "brief": {"last_endpoint": "hold"},
        "strict": {"panic_threshold": 0},
    },
}


async def held(world):
    return [hold["id"] for hold in json.loads(await world.server.text("/state"))["holds"]]


async def test_f43_last_instance(agent, fault_world):
    """Removed, by each policy; and all critical, which is a state and no removal."""
    async with fault_world(agent) as world:
        await world.start(SETTINGS)
        for service in ("brief", "plain", "weak", "strict"):
            await world.instance(service, f"{service}-1", status="passing")
            await world.serving(service, f"{service}-1")
        # keep: it is away and no request notices.
        (order,) = world.registered["order"]
        await agent.deregister("order-1")
        await eventually(lambda: held(world), ["last-endpoint/order"].__eq__, within=10.0)
        await world.holds(1.0)
        await world.register("order", order)
        await eventually(lambda: held(world), [].__eq__, within=10.0)
        # hold: requests are answered for so long, and then they are not.
        loop = asyncio.get_running_loop()
        async with world.load("brief", workers=1, pause=0.02) as load:
            await load.more(1)
            gone = loop.time()
            await agent.deregister("brief-1")
            # publish: at once.
            await agent.deregister("plain-1")
            # Consul tells of its instances first, and then that there is no such service.
            answer = await eventually(
                lambda: world.get("plain"),
                lambda one: "no service with this host name" in one.body,
                within=10.0,
            )
            assert answer.status == 503
            await eventually(lambda: held(world), lambda ids: "last-endpoint/plain" not in ids)
            await load.until(lambda: bool(load.failures), within=HOLD + 10.0)
        lasted = load.failures[0].at - gone
        assert lasted > HOLD - 0.5
        world.figures["held_s"] = round(lasted, 2)
        # Critical to the last: taken all the same, unless the policy says otherwise.
        await agent.set_status("weak-1", "critical")
        await agent.set_status("strict-1", "critical")
        await eventually(lambda: world.get("strict"), lambda one: one.status == 503, within=10.0)
        await eventually(lambda: world.envoy.stat("cluster.weak.membership_healthy"), (0).__eq__, within=10.0)
        assert (await world.get("weak")).body == "weak-1"
        assert await world.envoy.stat("cluster.weak.lb_healthy_panic") > 0
        assert await world.envoy.stat("cluster.strict.lb_healthy_panic") == 0
        assert len(await world.envoy.hosts("strict")) == 1
        assert await held(world) == []
        # The truth again: what is gone is gone, and all else is there.
        await eventually(
            world.envoy.clusters, lambda found: not {"brief", "plain"} & found.keys(), within=10.0
        )
        await world.converges(within=10.0)
