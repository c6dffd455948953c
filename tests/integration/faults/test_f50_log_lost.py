import pytest

from tests.rig.hooked_server import HookedServer


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["closed", "full"])
async def test_f50_log_lost(agent, fault_world, lost):
    """Nothing can be logged any more: who read it is gone (EPIPE), or the disk is full."""
    async with fault_world(agent) as world:
        world.kind_of_server = HookedServer
        await world.start()
        if lost == "closed":
            await world.server.do("close_log")
        else:
            await world.server.do("fill_disk", size=world.server.process.log.stat().st_size)
        size = world.server.process.log.stat().st_size
        await world.holds(2.0)
        await world.converges(within=10.0)
        assert world.server.process.log.stat().st_size == size
        assert await world.server.status("/healthz") == 200
