import asyncio

import pytest

FLAPS = 15
EVERY = 2.0


@pytest.mark.slow
async def test_f14_flaps(agent, fault_world):
    async with fault_world(agent, way=True) as world:
        await world.start()
        sent, accepted, polls = await world.server.sent(), world.way.accepted, world.way.open
        began = asyncio.get_running_loop().time()
        for flap in range(FLAPS):
            world.way.closed = True
            await world.way.reset()
            await world.holds(EVERY)
            world.way.closed = False
            await world.holds(EVERY)
            assert await world.server.sent() == sent, f"something was sent after flap {flap}"
        seconds = asyncio.get_running_loop().time() - began
        world.figures["connections_per_s"] = round((world.way.accepted - accepted) / seconds, 2)
        world.figures["polls"] = polls
        assert world.figures["connections_per_s"] < 3 * polls
        await world.converges(within=35.0)
