import asyncio

import pytest

from tests.integration.faults.durations import SHORT


@pytest.mark.slow
async def test_f12_garbage(agent, fault_world):
    async with fault_world(agent, way=True) as world:
        await world.start()
        world.way.garbage = 0.1
        last = asyncio.get_running_loop().time() + SHORT
        changes = 0
        while asyncio.get_running_loop().time() < last or world.way.spoilt < 10:
            changes += 1
            for service, upstreams in world.registered.items():
                for upstream in upstreams:
                    await world.register(service, upstream, meta={"change": str(changes)})
            await world.unharmed()
            await asyncio.sleep(0.2)
        world.figures["spoilt"] = world.way.spoilt
        metrics = await world.server.metrics()
        ok = metrics.total("xds_consul_queries_total", result="ok")
        assert metrics.total("xds_consul_queries_total") > ok
        assert not world.server.events("task.failed")
        world.way.garbage = 0.0
        await world.converges(within=40.0)
