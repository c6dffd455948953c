import asyncio

import pytest

from tests.rig.eventually import eventually

HOST = "shop.test"
TIMES = 20


def with_route(world, service):
    route = {"hosts": [HOST], "service": service}
    listener = {"name": "shop", "address": f"127.0.0.1:{world.http_port}", "routes": [route]}
    return {"default_listener": False, "listeners": [listener]}


@pytest.mark.slow
async def test_f48_settings_bad(delta_world, record_property):
    world = delta_world
    await world.instance("blue")
    await world.instance("green")
    await world.start(with_route(world, "blue"))
    file = world.server.settings_file
    good = file.read_text()
    async with world.load(HOST, workers=2, pause=0.01) as load:
        await load.more(20)
        sent = await world.server.sent()
        for count, text in enumerate(("listeners: [", f"{good}\nlistenrs: []\n", "\x00\xff", ""), start=1):
            world.server.write_settings_text(text)
            await refused(world, count)
        file.unlink()
        await refused(world, 5)
        await load.more(50)
        assert set(load.bodies()) == {"blue"}
        assert await world.server.sent() == sent

        for number in range(TIMES):
            world.server.write_settings_text(good if number % 2 else "listeners: [")
            await asyncio.sleep(0.05)
        assert await world.server.sent() == sent
        assert await world.server.status("/readyz") == 200

        started = asyncio.get_running_loop().time()
        world.server.write_settings(with_route(world, "green"))
        await load.until(lambda: load.bodies()["green"] > 0)
        record_property("converged_after_s", round(asyncio.get_running_loop().time() - started, 2))
        await load.more(50)
        # Nothing of the flapping comes late.
        assert {one.body for one in load.answers[-20:]} == {"green"}
    assert not load.failures, load.failures[:3]
    record_property("requests", len(load.answers))
    record_property("failed", len(load.failures))
    await world.envoy.updates()


async def refused(world, count):
    """Wait until so many settings files were refused."""

    async def seen():
        return (await world.server.metrics()).total("xds_settings_reloads_total", result="refused")

    await eventually(seen, lambda number: number >= count, within=10.0)
