from pathlib import Path

import pytest

from tests.integration.faults.durations import LONG


@pytest.mark.slow
async def test_f04_consul_hangs(agent, fault_world):
    async with fault_world(agent) as world:
        await world.start({"consul": {"wait": "2s"}})
        before = held(world.server.process)
        agent.pause()
        await world.until_state("stale", within=40.0)
        await world.holds(LONG)
        threads, sockets = held(world.server.process)
        assert threads <= before[0]
        assert sockets <= before[1] + 2
        world.figures["sockets_before"], world.figures["sockets_during"] = before[1], sockets
        agent.resume()
        await world.converges(within=10.0)


def held(process):
    """Give how many threads and file descriptors a process has."""
    folder = Path("/proc") / str(process._process.pid)
    return len(list((folder / "task").iterdir())), len(list((folder / "fd").iterdir()))
