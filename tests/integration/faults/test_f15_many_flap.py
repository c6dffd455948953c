import asyncio
import time

import pytest

from tests.integration.faults.durations import LONG
from tests.rig.crowd import Crowd
from tests.rig.eventually import eventually

COUNT = 1000


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_f15_many_flap(agent, fault_world):
    async with fault_world(agent) as world:
        target = await world.instance("target", register=False)
        crowd = Crowd(agent, port=target.port, count=COUNT)
        await crowd.register()
        await world.start(ready_within=60.0)
        world.gives_up(*crowd.names)  # their health is what changes
        sent, began = await world.server.sent(), time.monotonic()
        lags = []
        while (seconds := time.monotonic() - began) < LONG:
            asked = time.monotonic()
            await world.server.text("/healthz")
            lags.append(time.monotonic() - asked)
            await crowd.flip("critical" if len(lags) % 2 else "passing")
            await world.unharmed()
            await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - asked)))
        world.figures["flips_per_s"] = round(len(lags) * COUNT / seconds)
        world.figures["sent_per_s"] = round((await world.server.sent() - sent) / seconds, 1)
        world.figures["lag_median_ms"] = round(sorted(lags)[len(lags) // 2] * 1000, 1)
        world.figures["lag_most_ms"] = round(max(lags) * 1000, 1)
        # A push each 50 ms is what the pace of the pipeline allows at the very most.
        assert world.figures["sent_per_s"] <= 20
        assert world.figures["lag_median_ms"] < 200
        await crowd.flip("passing")
        await world.converges(within=30.0)
        last = crowd.names[-1]
        await eventually(
            lambda: world.envoy.hosts(last),
            lambda hosts: {host.eds for host in hosts.values()} == {"HEALTHY"},
            within=60.0,
        )
