import signal
import time

import pytest

from tests.integration.faults.streams import streams_become
from tests.rig.conversation import Rule
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl


@pytest.mark.slow
async def test_f37_half_open(delta_world, record_property):
    """An Envoy stands still with its connection open; who is beside it is served."""
    world = delta_world
    world.recorder.excuse("an Envoy that stands still answers nothing", Rule.ANSWERED)
    await world.instance("user")
    await world.start_server(ready_within=60.0)
    await world.start_envoy()
    async with XdsStream(world.server.address, "delta") as beside:
        await beside.send(beside.request(type_url=TypeUrl.CLUSTER, node="beside"))
        first = await beside.receive()
        await beside.send(beside.request(type_url=TypeUrl.CLUSTER, response_nonce=first.nonce))
        await streams_become(world.server, 2, within=5.0)
        world.envoy.process.signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            await world.instance("order")
            assert [one.name for one in (await beside.receive(within=20.0)).resources] == ["order"]
            # A ping goes out after 30 s at the latest, and has 10 s for its answer.
            await streams_become(world.server, 1, within=45.0)
            record_property("gone_after_s", round(time.monotonic() - began, 1))
        finally:
            world.envoy.process.signal(signal.SIGCONT)
        await world.serving("order", "order")
        record_property("converged_after_s", round(time.monotonic() - began, 1))
