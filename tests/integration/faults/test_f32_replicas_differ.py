import pytest

from tests.rig.eventually import eventually

# A query that is held this long, and then a quarter longer without an answer, is given up.
SETTINGS = {"consul": {"wait": "5s"}}


@pytest.mark.slow
async def test_f32_replicas_differ(agent, fault_world):
    """One of two servers is cut off from Consul, and the Envoy has to move to that one."""
    async with fault_world(agent, way=True) as world:
        await world.register_all()
        cut = await world.start_server(SETTINGS, name="cut", consul_port=world.consul_port)
        near = await world.start_server(name="near")
        await world.start_envoy(servers=[near.address, cut.address])
        if (await cut.metrics()).total("xds_streams"):
            await cut.kill()
            await eventually(lambda: streams(near), (1.0).__eq__, within=20.0)
            await cut.start()
        for service, upstreams in world.registered.items():
            await world.serving(service, *(one.name for one in upstreams))
        await world.begin()
        world.way.frozen = True
        world.server = cut
        await world.until_state("stale", within=30.0)
        # What the one cannot see the other serves.
        newer = await world.instance("user", "user-3")
        await world.serving("user", "user-3")
        before = await world.envoy.updates()
        await near.kill()
        await eventually(lambda: streams(cut), (1.0).__eq__, within=30.0)
        await world.holds(5.0)
        # It is older by one instance and tells so; what is the same in both is not sent again.
        assert await world.state() == "stale"
        assert await cut.status("/readyz") == 200
        after = await world.envoy.updates()
        for same in ("cluster_manager.cds.update_success", "listener_manager.lds.update_success"):
            assert after[same] == before[same]
        assert (await cut.metrics()).total("xds_responses_total", type="Cluster") == 0
        world.way.frozen = False
        await eventually(lambda: world.envoy.hosts("user"), lambda hosts: newer.address in hosts, within=20.0)
        await world.converges(within=10.0)


async def streams(server):
    return (await server.metrics()).total("xds_streams")
