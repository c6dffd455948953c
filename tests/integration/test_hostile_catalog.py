import asyncio

import pytest

from tests.bad_inputs.case import FINE
from tests.bad_inputs.table import CASES
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


async def test_the_whole_catalogue_of_bad_input_at_once(delta_world, record_property):
    """Cases 1 to 64, as far as this Consul takes them.

    Not in it: what depends on our own addresses, and a check that prints megabytes.
    """
    world = delta_world
    await world.instance("user")
    await world.start()
    cases = [case for case in CASES if not case.alone and case.number not in (10, 35, 39, 61, 64)]
    async with world.load("user") as user:
        await user.more(20)
        rows = [row for case in cases for name, rows in case.listed.items() for row in rows]
        taken = await register_rows(world, rows)
        record_property("taken", f"{taken} of {len(rows)}")
        assert taken > len(rows) / 2
        await world.instance("late")
        await eventually(lambda: world.get("late"), lambda answer: answer.body == "late", within=60.0)
        served = {}
        for name, found in ((name, found) for case in cases for name, found in case.served.items()):
            served.setdefault(name, {FINE}).update(one.split()[0] for one in found)
        there = {"case-20", "case-38", "case-62"}
        allowed = {"user", "late", "good", "xds_cluster", *served}
        # One of the twins of case 11 has the name until the others are read.
        clusters = await eventually(
            world.envoy.clusters, lambda found: there <= found.keys() <= allowed, within=60.0
        )
        await user.more(20)
    record_property("clusters", len(clusters))
    assert not user.failures
    for name in clusters.keys() & served.keys():
        assert set(clusters[name]) <= served[name], name
    await world.envoy.updates()
    assert (await world.server.metrics()).total("xds_nacks_total") == 0


async def register_rows(world, rows):
    """Register what Consul takes of these rows, a few at a time, and give how many those are.

    Each has an id of its own: Consul would take the second of one id for the first with another name.
    """
    several = asyncio.Semaphore(8)

    async def one(number, row):
        service = {**(row.get("Service") or {}), "ID": f"{number}"}
        body = {**(row.get("Node") or {}), "Service": service, "Checks": row.get("Checks")}
        body.pop("Datacenter", None)
        async with several:
            try:
                await world.consul.put("/v1/catalog/register", body)
            except RuntimeError:
                return False
        return True

    return sum(await asyncio.gather(*(one(*each) for each in enumerate(rows))))
