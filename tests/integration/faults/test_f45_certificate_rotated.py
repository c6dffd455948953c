import asyncio

import pytest

from tests.rig.load import Load
from tests.rig.tls_edge import listener_stats, start_edge

ROTATIONS = [
    pytest.param(5, 0.0, id="5 times, at once"),
    pytest.param(150, 2.0, id="every 2 s for 5 min", marks=[pytest.mark.slow, pytest.mark.timeout(420)]),
]


@pytest.mark.parametrize(("rotations", "pause"), ROTATIONS)
async def test_f45_certificate_rotated(world, rotations, pause, record_property):
    edge = await start_edge(world)
    listeners, waits = await listener_stats(world), []
    # New connections meet each certificate, the kept one must live through all of them.
    async with (
        Load(edge.url, host="shop.test", tls=edge.trust, fresh=True, workers=2) as fresh,
        Load(edge.url, host="shop.test", tls=edge.trust, workers=1, pause=0.01) as kept,
    ):
        for _ in range(rotations):
            await fresh.more(20)
            serial = edge.rotate()
            replaced = asyncio.get_running_loop().time()
            await edge.shows(serial, within=5.0)
            waits.append(asyncio.get_running_loop().time() - replaced)
            await asyncio.sleep(max(0.0, pause - waits[-1]))
        await fresh.more(20)
    assert not fresh.failures
    assert not kept.failures
    assert await listener_stats(world) == listeners
    await world.envoy.updates()
    # Nothing of the old certificates is kept: Envoy has one version of the secret, and so have we.
    metrics = await world.server.metrics()
    assert metrics.total("xds_snapshot_resources", type="Secret") == 1
    assert "PRIVATE KEY" not in world.server.process.output
    record_property("requests", len(fresh.answers) + len(kept.answers))
    record_property("failed", len(fresh.failures) + len(kept.failures))
    record_property("converged_after_s", round(max(waits), 3))
