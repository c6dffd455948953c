import asyncio
import signal


async def test_f33_envoy_killed(delta_world, record_property):
    world = delta_world
    for service in ("user", "order", "cart"):
        await world.instance(service)
    await world.start()
    clusters = set(await world.envoy.clusters())
    for _ in range(3):
        await world.envoy.process.end(signal.SIGKILL)
        await world.envoy.stop()
        began = asyncio.get_running_loop().time()
        await world.envoy.start()
        took = asyncio.get_running_loop().time() - began
        assert set(await world.envoy.clusters()) == clusters
        async with world.load("user") as load:
            await load.more(50)
        assert not load.failures
        assert took < 2.0, f"its configuration took {took:.2f} s"
        record_property("converged_after_s", round(took, 2))
    record_property("requests", 150)
    record_property("failed", 0)
    assert (await world.server.metrics()).total("xds_streams") == 1
