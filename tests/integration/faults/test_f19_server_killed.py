import asyncio

import pytest

from tests.rig.eventually import eventually


@pytest.mark.shows("P-021", "P-073", "T-RC-01", "T-RC-04")
async def test_f19_server_killed(world, record_property):
    await world.instance("user")
    order = await world.instance("order")
    await world.start()
    async with world.load("user", workers=2, pause=0.01) as load:
        await load.more(100)
        before = await world.envoy.updates()
        await world.server.kill()
        await load.more(300)
        await world.server.start(ready_within=60.0)
        returned = asyncio.get_running_loop().time()
        await eventually(lambda: connected(world), within=30.0)
        # When a change has come through, whatever the return itself brought about has come through before it.
        await world.register("order", order, weights=(7, 1))
        await eventually(
            lambda: world.envoy.hosts("order"), lambda hosts: hosts[order.address].weight == 7, within=10.0
        )
        record_property("converged_after_s", round(asyncio.get_running_loop().time() - returned, 2))
        await load.more(100)
    record_property("requests", len(load.answers))
    record_property("failed", len(load.failures))
    assert not load.failures
    after = await world.envoy.updates()
    held = ("cluster_manager.cds.update_success", "listener_manager.lds.update_success")
    assert {name: after[name] for name in held} == {name: before[name] for name in held}
    sent = await world.server.metrics()
    assert sent.total("xds_responses_total", type="Cluster") == 0
    assert sent.total("xds_responses_total", type="Listener") == 0
    assert sent.total("xds_nacks_total") == 0
    if world.mode == "delta":
        # Delta tells what is held by name, so the change above is all that is ever sent.
        assert sent.total("xds_responses_total") == 1


async def connected(world):
    """Tell whether Envoy has its stream again, and the server counts it."""
    streams = (await world.server.metrics()).total("xds_streams")
    return await world.envoy.stat("control_plane.connected_state") == 1 and streams == 1
