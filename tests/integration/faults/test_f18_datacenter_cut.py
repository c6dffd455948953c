import pytest

from tests.rig.consul_cluster import two_datacenters
from tests.rig.eventually import eventually

KEEP = 5.0
SETTINGS = {"consul": {"wait": "2s", "datacenters": ["dc2"], "remote_keep": f"{KEEP:g}s"}}


@pytest.mark.slow
async def test_f18_datacenter_cut(tmp_path, fault_world):
    async with two_datacenters(tmp_path) as (near, far), fault_world(near) as world:
        remote = await world.instance("remote", register=False)
        await far.register("remote", port=remote.port)
        await world.start(SETTINGS)
        await world.serving("remote", "remote")
        async with world.load("remote", workers=1, pause=0.02) as load:
            far.pause()
            await world.until_state("stale", datacenter="dc2", within=40.0)
            assert await world.state("dc1") == "live"
            await world.holds(KEEP - 2.0)
            assert await health(world, remote) == "HEALTHY"
        assert not load.failures
        world.gives_up("remote")
        await eventually(lambda: health(world, remote), "UNHEALTHY".__eq__, within=KEEP + 10.0)
        await world.holds(2.0)
        far.resume()
        await world.converges(within=10.0)
        await eventually(lambda: health(world, remote), "HEALTHY".__eq__, within=30.0)
        await world.until_state("live", datacenter="dc2", within=30.0)


async def health(world, upstream):
    """Give what Envoy was told of the health of an instance."""
    return (await world.envoy.hosts("remote"))[upstream.address].eds
