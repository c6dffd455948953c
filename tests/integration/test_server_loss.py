import time

import pytest

from tests.rig.eventually import eventually
from tests.rig.server import XdsServer
from tests.rig.xds_messages import Response
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration


@pytest.mark.shows("T-RC-06")
async def test_a_change_made_while_the_server_was_away_arrives_on_its_return(world):
    await world.instance("user", "user-1")
    await world.instance("order")
    await world.start()
    async with world.load("order") as load:
        await world.server.kill()
        second = await world.instance("user", "user-2")
        await world.consul.deregister("user-1")
        await load.more(50)
        await world.server.start()
        await eventually(
            lambda: world.envoy.hosts("user"), lambda hosts: list(hosts) == [second.address], within=20.0
        )
        await world.serving("user", "user-2")
    assert not load.failures
    await world.envoy.updates()


@pytest.mark.shows("T-RC-11")
async def test_when_one_replica_dies_the_other_takes_the_stream(world, record_property):
    await world.instance("user")
    first = await world.start_server()
    second = await world.start_server(name="xds-server-2")
    await world.start_envoy(servers=[first.address, second.address])
    active, other = (first, second) if await streams(first) else (second, first)
    assert await streams(other) == 0
    async with world.load("user") as load:
        before = await world.envoy.updates()
        await load.more(50)
        killed = time.monotonic()
        await active.kill()
        await eventually(lambda: streams(other), lambda count: count == 1, within=2.0)
        record_property("taken over after, seconds", round(time.monotonic() - killed, 3))
        joined = await world.instance("user", "user-2")
        await load.until(lambda: joined.requests > 0)
        await load.more(50)
    assert not load.failures
    after = await world.envoy.updates()
    held = ("cluster_manager.cds.update_success", "listener_manager.lds.update_success")
    assert {name: after[name] for name in held} == {name: before[name] for name in held}
    sent = [event for event in world.recorder.streams()[-1].events if isinstance(event, Response)]
    if world.mode == "delta":
        assert [set(one.items) for one in sent if one.items] == [{"user"}]
    assert {one.type for one in sent if one.items} <= {TypeUrl.ENDPOINTS, TypeUrl.ROUTES}


async def streams(server: XdsServer) -> float:
    return (await server.metrics()).total("xds_streams")
