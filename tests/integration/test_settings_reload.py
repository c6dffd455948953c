import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration


def with_routes(world, *routes):
    listener = {"name": "shop", "address": f"127.0.0.1:{world.http_port}", "routes": list(routes)}
    return {"default_listener": False, "listeners": [listener]}


@pytest.mark.shows("T-OR-05")
async def test_blue_green_by_the_settings_file_costs_no_request(world):
    host = {"hosts": ["shop.test"]}
    await world.instance("blue")
    await world.instance("green")
    await world.start(with_routes(world, {**host, "service": "blue"}))
    before = await world.envoy.updates()
    async with world.load("shop.test") as load:
        await load.more(100)
        assert set(load.bodies()) == {"blue"}

        world.server.write_settings(with_routes(world, {**host, "split": {"blue": 90, "green": 10}}))
        await load.until(lambda: load.bodies()["green"] > 0)
        part = await load.more(1500)
        assert 100 * sum(answer.body == "green" for answer in part) / len(part) == pytest.approx(10, abs=4)

        world.server.write_settings(with_routes(world, {**host, "service": "green"}))
        await eventually(lambda: cut_over(load), within=10.0)

        await world.consul.deregister("blue")
        await eventually(lambda: world.envoy.hosts("blue"), lambda hosts: not hosts)
        await load.more(200)
    assert not load.failures
    after = await world.envoy.updates()
    lds = "listener_manager.lds.update_success"
    assert after[lds] == before[lds]


@pytest.mark.shows("P-093", "P-094", "T-OR-05")
async def test_a_route_that_moves_as_its_old_service_goes_costs_no_request(world):
    host = {"hosts": ["shop.test"]}
    await world.instance("blue")
    await world.instance("green")
    blue = with_routes(world, {**host, "service": "blue"})
    green = with_routes(world, {**host, "service": "green"})
    # One snapshot brings one cluster, moves the route there, and takes the other cluster away.
    hidden = ({"hidden_services": ["consul", "green"]}, {"hidden_services": ["consul", "blue"]})
    # Hidden from the start, a service would never be asked for in Consul, so both are known first.
    await world.start(blue)
    world.server.write_settings(blue | hidden[0])
    await eventually(world.envoy.clusters, lambda clusters: "green" not in clusters)
    async with world.load("shop.test", pause=0) as load:
        for settings, here, gone in (
            (green | hidden[1], "green", "blue"),
            (blue | hidden[0], "blue", "green"),
        ):
            await load.more(100)
            world.server.write_settings(settings)
            await eventually(
                world.envoy.clusters, lambda names, here=here, gone=gone: here in names and gone not in names
            )
            await load.more(100)
            assert load.answers[-1].body == here
    assert not load.failures
    await world.envoy.updates()


@pytest.mark.case(139)
async def test_a_bad_settings_file_leaves_the_old_in_force_and_names_line_and_key(delta_world):
    world = delta_world
    host = {"hosts": ["shop.test"]}
    await world.instance("blue")
    await world.instance("green")
    good = with_routes(world, {**host, "service": "blue"})
    await world.start(good)
    sent = await world.server.sent()
    async with world.load("shop.test") as load:
        text = world.server.settings_file.read_text()
        world.server.write_settings_text(text + "defaults:\n  conect_timeout: 1s\n")
        refusals = await eventually(lambda: world.server.events("settings.refused"))
        line = text.count("\n") + 2
        assert f"{world.server.settings_file}:{line}: " in refusals[0]["error"]
        assert "conect_timeout" in refusals[0]["error"]
        assert "connect_timeout" in refusals[0]["error"]  # did you mean
        world.server.write_settings_text(text + "\t- not: [yaml\n")
        await eventually(lambda: len(world.server.events("settings.refused")) == 2)
        await load.more(50)
        assert await world.server.sent() == sent

        world.server.write_settings(with_routes(world, {**host, "service": "green"}))
        await load.until(lambda: load.bodies()["green"] > 0)
    assert not load.failures
    metrics = await world.server.metrics()
    assert metrics.total("xds_settings_reloads_total", result="refused") == 2
    assert metrics.total("xds_settings_reloads_total", result="taken") == 1


@pytest.mark.shows("P-091", "T-OR-02")
async def test_a_changed_cluster_warms_without_a_failed_request(world):
    await world.instance("user")
    await world.start()
    async with world.load("user") as load:
        await load.more(50)
        world.server.write_settings(world.settings({"services": {"user": {"connect_timeout": "1s"}}}))
        await eventually(lambda: world.envoy.stat("cluster_manager.cluster_modified"), lambda n: n == 1)
        await eventually(lambda: world.envoy.stat("cluster_manager.warming_clusters"), lambda n: n == 0)
        await load.more(100)
    assert not load.failures
    stats = await world.envoy.stats("init_fetch_timeout|update_rejected")
    assert not any(stats.values()), stats


async def cut_over(load):
    return {answer.body for answer in await load.more(40)} == {"green"}
