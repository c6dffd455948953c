import asyncio

import grpc
import pytest

from tests.integration.faults.kept import KEEPS, until_kept
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

SERVICES = {"user", "order", "cart"}


@pytest.mark.parametrize("keeps", [False, True], ids=["nothing kept", "last good kept"])
@pytest.mark.shows("P-013", "T-ST-17")
async def test_f20_restart_with_slow_consul(agent, fault_world, keeps):
    async with fault_world(agent, way=True) as world:
        await world.start(KEEPS if keeps else {})
        if keeps:
            await until_kept(world, len(SERVICES))
        clusters = set(await world.envoy.clusters())
        await world.server.kill()
        # Long enough, where something is kept, for its 5 s to be over first.
        world.way.delay = 3.0 if keeps else 1.0
        await world.server.start(ready_within=None)
        early = asyncio.create_task(first_answer(world))
        while await world.server.status("/readyz") != 200:
            await world.unharmed()
            await asyncio.sleep(0.05)
        answer = await early
        # Whoever asks before anything was read is sent away or waits; nobody is told that there is nothing.
        assert answer is None or len(answer.resources) == len(SERVICES)
        await world.until_state("live", within=60.0)
        await world.unharmed()
        assert set(await world.envoy.clusters()) == clusters
        world.way.delay = 0.0
        await world.converges(within=30.0)
        sources = (await world.server.text("/readyz?verbose")).splitlines()
        assert not any(line.startswith("last good") for line in sources)


async def first_answer(world):
    """Ask for the clusters at once; give the first response, None if the stream was sent away."""
    async with XdsStream(world.server.address, world.mode) as stream:
        await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="early"))
        try:
            return await stream.receive(within=60.0)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return None
            raise
