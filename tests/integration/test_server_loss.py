import asyncio
import time

import grpc
import pytest

from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from tests.rig.server import XdsServer
from tests.rig.xds_client import XdsStream
from tests.rig.xds_messages import Response
from xds_server.model.types import TypeUrl

pytestmark = pytest.mark.integration


@pytest.mark.shows("P-021", "P-073", "T-RC-01", "T-RC-04")
async def test_kill_9_under_load_costs_no_request_and_nothing_is_sent_again(world):
    await world.instance("user")
    order = await world.instance("order")
    await world.start()
    async with world.load("user") as load:
        await load.more(100)
        before = await world.envoy.updates()
        await world.server.kill()
        await load.more(300)
        await world.server.start()
        await eventually(lambda: connected(world), within=20.0)
        # When a change has come through, whatever the return itself brought about has come through before it.
        await world.register("order", order, weights=(7, 1))
        await eventually(
            lambda: world.envoy.hosts("order"), lambda hosts: hosts[order.address].weight == 7, within=10.0
        )
        await load.more(100)
    assert not load.failures
    after = await world.envoy.updates()
    held = ("cluster_manager.cds.update_success", "listener_manager.lds.update_success")
    assert {name: after[name] for name in held} == {name: before[name] for name in held}
    sent = await world.server.metrics()
    assert sent.total("xds_responses_total", type="Cluster") == 0
    assert sent.total("xds_responses_total", type="Listener") == 0
    assert sent.total("xds_nacks_total") == 0
    if world.mode == "delta":
        # Delta tells what is held by name, so the change above is all that is ever sent.
        assert sent.total("xds_responses_total") == 1


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


@pytest.mark.shows("P-013", "T-ST-17")
async def test_a_restart_while_consul_is_slow_never_costs_a_cluster(delta_world):
    await delta_world.instance("user")
    await delta_world.instance("order")
    async with FaultProxy(delta_world.consul.http_port) as proxy:
        await delta_world.start_server(consul_port=proxy.port)
        await delta_world.start_envoy()
        clusters = set(await delta_world.envoy.clusters())
        assert {"user", "order"} < clusters
        async with delta_world.load("user") as load:
            await delta_world.server.kill()
            proxy.delay = 3.0
            await delta_world.server.start(ready_within=None)
            early = await first_answer(delta_world)
            assert early is None or len(early.resources) == 2
            while await delta_world.server.status("/readyz") != 200:
                assert set(await delta_world.envoy.clusters()) == clusters
                await asyncio.sleep(0.05)
            await eventually(lambda: connected(delta_world), within=20.0)
            await load.more(200)
        assert set(await delta_world.envoy.clusters()) == clusters
        assert not load.failures
        assert (await delta_world.envoy.updates())["cluster_manager.cds.update_success"] == 1
        await delta_world.server.stop()


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


async def first_answer(world):
    """Ask for the clusters at once; give the first response, None if the stream was sent away."""
    async with XdsStream(world.server.address, world.mode) as stream:
        await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="early"))
        try:
            return await stream.receive(within=15.0)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return None
            raise


async def connected(world):
    return await world.envoy.stat("control_plane.connected_state") == 1 and await streams(world.server) == 1


async def streams(server: XdsServer) -> float:
    return (await server.metrics()).total("xds_streams")
