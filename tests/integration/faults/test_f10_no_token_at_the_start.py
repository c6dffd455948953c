from tests.rig.consul_acl import ANONYMOUS, make_policy
from tests.rig.eventually import eventually
from tests.rig.server import XdsServer


async def test_f10_no_token_at_the_start(strict_agent, fault_world):
    async with fault_world(strict_agent) as world:
        await world.register_all()
        source = ("--consul", f"http://127.0.0.1:{world.consul_port}")
        world.server = XdsServer(world.directory, source, world.settings())
        world.stack.push_async_callback(world.server.stop)
        await world.server.start(ready_within=None)
        doubted = await eventually(lambda: world.server.events("consul.catalog_doubted"), within=10.0)
        assert 'service_prefix "" { policy = "read" }' in doubted[0]["error"]
        assert await world.server.status("/readyz") == 503
        assert 'service_prefix "" { policy = "read" }' in await world.server.text("/readyz")
        assert (await world.server.metrics()).total("xds_ready") == 0
        # The anonymous token is what a query without one has.
        policy = await make_policy(strict_agent)
        await strict_agent.put(f"/v1/acl/token/{ANONYMOUS}", {"Policies": [{"ID": policy}]})
        await eventually(lambda: world.server.status("/readyz"), (200).__eq__, within=40.0)
        await world.start_envoy()
        await world.begin()
        await world.holds(1.0)
        await world.converges(within=10.0)
