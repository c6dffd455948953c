import asyncio

import pytest

from tests.integration.faults.durations import LONG
from tests.rig.crowd import Crowd
from xds_server.consul.options import WatchOptions

COUNT = 1000
PER_SECOND = WatchOptions().requests_per_second


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_f16_restart_with_many_watches(agent, fault_world):
    loop = asyncio.get_running_loop()
    async with fault_world(agent, answers=True) as world:
        target = await world.instance("target", register=False)
        crowd = Crowd(agent, port=target.port, count=COUNT)
        await crowd.register()
        await world.start(ready_within=90.0)
        await world.holds(10.0)
        now = loop.time()
        world.figures["steady_per_s"] = world.answers.count(now - 5.0, now) / 5
        world.figures["held"] = world.answers.open
        await agent.kill()
        await world.holds(2.0)
        restarted = loop.time()
        await agent.start(up=False)
        await world.converges(within=30.0)
        await world.holds(LONG)
        rates = [world.answers.count(restarted + n, restarted + n + 1.0) for n in range(int(LONG))]
        world.figures["most_in_a_second"] = max(rates)
        world.figures["per_s_after"] = sum(rates) / LONG
        assert max(sum(rates[n : n + 5]) / 5 for n in range(len(rates) - 5)) <= 1.5 * PER_SECOND
