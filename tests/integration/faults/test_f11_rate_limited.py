import asyncio

import pytest

from tests.integration.faults.durations import SHORT
from tests.rig.answer_proxy import Reply


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500])
async def test_f11_rate_limited(agent, fault_world, status):
    async with fault_world(agent, way=True, answers=True) as world:
        await world.start()
        began = asyncio.get_running_loop().time()
        refusal = Reply(status=status, headers={"X-Consul-Index": "1"}, body=b"rate limit reached")
        world.answers.instead = lambda _path: refusal
        await world.way.cut()  # what is held would not notice
        await world.until_state("stale", "frozen")
        await world.holds(SHORT)
        now = asyncio.get_running_loop().time()
        # Five questions, each backing off from 0.1 s to 30 s: fewer and fewer.
        world.figures["asked_first_s"] = world.answers.count(began, began + 1.0)
        world.figures["asked_last_s"] = world.answers.count(now - 4.0, now) / 4
        assert world.figures["asked_last_s"] <= 5
        world.answers.instead = lambda _path: None
        await world.converges(within=15.0)
