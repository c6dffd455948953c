"""Config entries in a real Consul as real gRPC clients without a proxy follow them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.test_grpc_clients import answered, instance, program, share
from tests.rig.conversation import Rule
from tests.rig.eventually import eventually
from tests.rig.grpc_program import METHOD
from tests.rig.world import World

pytestmark = pytest.mark.integration

TARGET = "xds:///user"
RESOLVER = {
    "Kind": "service-resolver",
    "Name": "user",
    "DefaultSubset": "v1",
    "Subsets": {
        "v1": {"Filter": "Service.Meta.version == v1"},
        "v2": {"Filter": "Service.Meta.version == v2"},
    },
}
SPLITTER = {
    "Kind": "service-splitter",
    "Name": "user",
    "Splits": [{"Weight": 80, "ServiceSubset": "v1"}, {"Weight": 20, "ServiceSubset": "v2"}],
}


def route(destination, **match):
    return {"Match": {"HTTP": match}, "Destination": destination}


ROUTES = [
    route({"ServiceSubset": "v2"}, PathExact="/test.Greeter/Two"),
    route({"ServiceSubset": "v2"}, PathRegex="/test[.]Greeter/T[a-z]{4}"),
    route({"Service": "order"}, PathPrefix="/test.Greeter", Header=[{"Name": "x-a", "Exact": "1"}]),
    route({"Service": "order"}, Header=[{"Name": "x-b", "Prefix": "on"}], Methods=["POST"]),
    route({"Service": "order"}, Header=[{"Name": "x-c", "Regex": "[0-9]+"}]),
    route({"Service": "order"}, Header=[{"Name": "x-d", "Present": True}]),
    route({"Service": "order"}, Methods=["GET"]),
    route({"Service": "order"}, QueryParam=[{"Name": "beta", "Present": True}]),
]


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    async with World(tmp_path, "sotw") as world:
        yield world


async def write(world, *entries):
    for entry in entries:
        assert await world.consul.put("/v1/config", entry) is True


@pytest.mark.slow
async def test_grpc_clients_follow_a_chain(world):
    await write(world, {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "grpc"}})
    for version in ("v1", "v2"):
        await instance(world, "user", f"user-{version}", meta={"version": version}, status="passing")
    await instance(world, "order")
    await world.start_server()
    caller = await program(world)
    await answered(caller, TARGET, {"user-v1": 1, "user-v2": 1})
    world.recorder.excuse("a gRPC client asks for the clusters of the routes it was given", Rule.ROUTES)

    calling = asyncio.create_task(caller.call(TARGET, count=1500))
    await write(world, RESOLVER, SPLITTER)
    assert (await calling).errors == []
    await eventually(
        lambda: caller.call(TARGET, count=200), lambda calls: share(calls, "user-v2") < 0.35, within=10.0
    )
    calls = await caller.call(TARGET, count=1000)
    assert calls.errors == []
    assert share(calls, "user-v2") == pytest.approx(0.2, abs=0.05)

    await world.consul.delete("/v1/config/service-splitter/user")
    await write(world, {"Kind": "service-router", "Name": "user", "Routes": ROUTES})
    await eventually(
        lambda: caller.call(TARGET, count=1, metadata={"x-a": "1"}),
        lambda calls: calls.answers == {"order": 1},
        within=10.0,
    )
    for method, metadata, answering in (
        ("/test.Greeter/Two", {}, "user-v2"),
        ("/test.Greeter/Three", {}, "user-v2"),
        ("/test.Greeter/Threes", {}, "user-v1"),
        (METHOD, {"x-a": "2"}, "user-v1"),
        (METHOD, {"x-b": "once"}, "order"),
        (METHOD, {"x-b": "two"}, "user-v1"),
        (METHOD, {"x-c": "12"}, "order"),
        (METHOD, {"x-c": "1a"}, "user-v1"),
        (METHOD, {"x-d": "any"}, "order"),
        (METHOD, {}, "user-v1"),
    ):
        calls = await caller.call(TARGET, method=method, metadata=metadata)
        assert calls.answers == {answering: 1}, (method, metadata)

    calling = asyncio.create_task(caller.call(TARGET, count=500))
    await world.consul.delete("/v1/config/service-router/user")
    assert (await calling).errors == []
    await write(world, {**RESOLVER, "Failover": {"v1": {"Service": "order"}}})
    await world.consul.set_status("user-v1", "critical")
    await answered(caller, TARGET, {"order": 20})
    await world.consul.set_status("user-v1", "passing")
    await answered(caller, TARGET, {"user-v1": 20})
    assert await world.server.problems() == []
