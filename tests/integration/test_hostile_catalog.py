import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

# What Consul is told, and what of it the problem has to name. No request is ever sent to any of these.
HOSTILE_NAMES = {
    "h01/../user": "h01",
    "h02\nx": "h02",
    "h03\x00x": "h03",
    "h04 ${x}": "h04",
    "h05-café": "h05",
    "h06" + 64_000 * "x": "h06",
    "h07*": "h07",
    "h08.": "h08",
    "xds_cluster": "xds_cluster",
    "Order": "Order",
}
HOSTILE_ENDPOINTS = {
    "port-0": ("127.0.0.1", 0),
    "port-negative": ("127.0.0.1", -1),
    "port-70000": ("127.0.0.1", 70_000),
    "no-ip": ("not an ip!!", 80),
    "newline": ("127.0.0.1\n", 80),
    "octal": ("127.0.0.010", 80),
    "brackets": ("[::1]", 80),
    "scoped": ("fe80::1%eth0", 80),
    "metadata": ("169.254.169.254", 80),
    "multicast": ("224.0.0.1", 80),
    "unix": ("unix:///run/x.sock", 80),
    "hostname": ("example.test", 80),
}


async def test_hostile_registrations_are_named_and_harm_nobody_else(world):
    await world.instance("user")
    await world.instance("order")
    mixed = await world.instance("mixed")
    await world.start()
    endpoints = {**HOSTILE_ENDPOINTS, "envoy-admin": ("127.0.0.1", world.envoy.admin_port)}
    async with world.load("user") as user, world.load("order") as order:
        await user.more(50)
        for number, name in enumerate(HOSTILE_NAMES):
            await register(world, name, f"rogue-{number}", "127.0.0.1", 9)
        for name, (address, port) in endpoints.items():
            await register(world, "mixed", name, address, port)
        for port, weight in enumerate((0, -1, 70_000), start=9):
            await register(world, "mixed", f"weight {weight}", "127.0.0.1", port, weight=weight)
        wanted = {*HOSTILE_NAMES.values(), *endpoints}
        problems = await eventually(
            world.server.problems, lambda found: not unnamed(wanted, found), within=15.0, every=0.2
        )
        assert not [p for p in problems if "user" in p["source"] and "h01" not in p["source"]]
        # Who comes after them is served as ever.
        await world.instance("late")
        await eventually(lambda: world.get("late"), lambda answer: answer.body == "late")
        await user.more(50)
        await order.more(50)
    assert not user.failures
    assert not order.failures
    assert set(user.bodies()) == {"user"}
    assert set(order.bodies()) == {"order"}
    clusters = await world.envoy.clusters()
    assert set(clusters) == {"user", "order", "mixed", "late", "xds_cluster"}
    weighed = {f"127.0.0.1:{port}" for port in (9, 10, 11)}
    assert set(clusters["mixed"]) == {mixed.address, *weighed}
    # This Consul answers 1 for each of these weights.
    assert {clusters["mixed"][address].weight for address in weighed} == {1}
    await world.envoy.updates()
    assert (await world.server.metrics()).total("xds_nacks_total") == 0


async def register(world, service, service_id, address, port, *, weight=1):
    described = {"Service": service, "ID": service_id, "Address": address, "Port": port}
    described["Weights"] = {"Passing": weight, "Warning": 1}
    body = {"Node": f"node-{service_id}", "Address": "127.0.0.1", "Service": described}
    await world.consul.put("/v1/catalog/register", body)


def unnamed(wanted, problems):
    return {name for name in wanted if not any(name in problem["source"] for problem in problems)}
