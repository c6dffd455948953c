import pytest

from tests.integration.faults.durations import SHORT


@pytest.mark.slow
@pytest.mark.parametrize("fault", [{"delay": 5.0}, {"throttle": 10_000}])
async def test_f13_slow_way(agent, fault_world, fault):
    async with fault_world(agent, way=True) as world:
        await world.start()
        for name, value in fault.items():
            setattr(world.way, name, value)
        await world.way.cut()
        await world.holds(SHORT)
        await world.converges(within=30.0)
