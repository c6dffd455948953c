import asyncio

import pytest

from tests.integration.faults.durations import LONG
from tests.rig.eventually import eventually


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_f05_agent_cut_from_servers(cluster, fault_world):
    async with fault_world(cluster.client) as world:
        world.healthy = False  # once they are back, the servers may well call the agent's node critical
        await world.start({"consul": {"wait": "2s"}})
        for server in cluster.servers:
            server.pause()
        # Their agent takes it once it has asked them for the defaults of the service.
        during = await world.instance("user", "during", register=False)
        registering = asyncio.create_task(
            eventually(lambda: world.register("user", during), lambda _: True, within=90.0)
        )
        await world.until_state("stale", within=60.0)
        await world.holds(LONG)
        assert during.requests == 0
        for server in cluster.servers:
            server.resume()
        await world.converges(within=10.0)
        await registering
        await eventually(lambda: during.requests > 0, within=10.0)
