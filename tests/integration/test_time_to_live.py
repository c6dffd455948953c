"""A listener with a time to live, on a real Envoy whose control plane goes away (P-100)."""

import pytest

from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.world import World

pytestmark = pytest.mark.integration


@pytest.mark.slow
@pytest.mark.shows("P-100")
async def test_an_envoy_that_is_cut_off_closes_the_listener_and_opens_it_again(delta_world: World):
    world = delta_world
    await world.instance("user")
    short = {"name": "short", "address": f"127.0.0.1:{free_port()}", "all_services": True, "ttl": "2s"}
    await world.start({"listeners": [short]})

    async def listeners() -> int:
        return await world.envoy.stat("listener_manager.total_listeners_active")

    # Two heartbeats later it is still there, and no listener was touched.
    beats = await world.server.sent()
    await eventually(world.server.sent, lambda sent: sent >= beats + 3, within=5)
    assert await listeners() == 2
    assert await world.envoy.stat("listener_manager.listener_modified") == 0

    await world.server.kill()
    await eventually(listeners, (1).__eq__, within=5)
    assert (await world.get("user")).status == 200

    await world.server.start()
    await eventually(listeners, (2).__eq__, within=20)
