import asyncio
import secrets

import pytest

from tests.integration.faults.streams import streams_become
from tests.rig.envoy import Envoy

_DRAIN = ("--drain-time-s", "2", "--parent-shutdown-time-s", "4")


class Epoch(Envoy):
    """One generation of an Envoy; the next one takes its sockets (Envoy docs, "Hot restart")."""

    def of(self, base, number):
        flags = ("--base-id", str(base), "--restart-epoch", str(number), *_DRAIN)
        self.flags = (*flags, *self.flags[1:])
        return self


@pytest.mark.slow
async def test_f34_hot_restart(agent, fault_world):
    """Two epochs with one node id, as during a hot restart: both streams are served, and no request fails."""
    async with fault_world(agent) as world:
        base = secrets.randbelow(30_000) + 1000
        world.kind_of_envoy = lambda *args, **options: Epoch(*args, **options).of(base, 0)
        await world.start()
        first = world.envoy
        world.kind_of_envoy = lambda *args, **options: Epoch(*args, **options).of(base, 1)
        second = await world.start_envoy(admin_port=first.admin_port)
        await streams_become(world.server, 2, within=10.0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await first.process.wait(within=15.0)
        world.figures["first_left_after_s"] = round(loop.time() - began, 1)
        await streams_become(world.server, 1, within=10.0)
        world.envoys.remove(first)
        assert world.envoy is second
        await world.holds(1.0)
        await world.converges(within=10.0)
