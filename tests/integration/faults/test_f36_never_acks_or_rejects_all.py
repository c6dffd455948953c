import asyncio
import contextlib
from functools import partial

from envoy.config.core.v3.base_pb2 import Node

from tests.rig.eventually import eventually
from tests.rig.load import Load
from tests.rig.meddling import without_metadata
from tests.rig.near_world import NearWorld
from tests.transport.ads_client import AdsClient
from xds_server.model.types import TypeUrl

TYPES = (TypeUrl.CLUSTER, TypeUrl.LISTENER)
CHANGES = 20


async def test_f36_never_acks_or_rejects_all(tmp_path, record_property):
    """Two clients of the Envoy's kind: one answers nothing, one rejects all it is sent, again and again."""
    async with NearWorld(tmp_path, "delta") as world:
        user, second = await world.upstream("user"), await world.upstream("user-2")
        world.feed(user=[user.port])
        await world.start_envoy(amend=without_metadata)
        url = f"http://127.0.0.1:{world.http_port}/"
        async with (
            Load(url, host="user", workers=1, pause=0.01) as load,
            AdsClient(world.serving.port, "delta", node=like_the_envoy(world, "silent")) as silent,
            AdsClient(world.serving.port, "delta", node=like_the_envoy(world, "hostile")) as hostile,
        ):
            for one in TYPES:
                await silent.subscribe(one)
            rejecting = asyncio.create_task(reject_all(hostile))
            slowest, loop = 0.0, asyncio.get_running_loop()
            for number in range(CHANGES):
                ports, began = [user.port, second.port][: 1 + number % 2], loop.time()
                fresh = {f"s{one}": [user.port] for one in range(number)}
                world.feed(user=ports, **fresh)
                await eventually(partial(has, world, fresh, ports), within=5.0)
                slowest = max(slowest, loop.time() - began)
                await asyncio.sleep(0.1)
            # One that comes now is served all of it, whatever the other says of it.
            newcomer = await world.start_envoy(node="edge-2", amend=without_metadata)
            assert fresh.keys() <= (await newcomer.clusters()).keys()
            rejecting.cancel()
        assert not load.failures
        for envoy in world.envoys:
            await envoy.updates()
        record_property("requests", len(load.answers))
        record_property("failed", len(load.failures))
        record_property("converged_after_s", round(slowest, 2))


async def has(world, services, ports):
    clusters = await world.envoy.clusters()
    return services.keys() <= clusters.keys() and len(clusters["user"]) == len(ports)


def like_the_envoy(world, name):
    """Give a node of the same group and version as the Envoy that is connected."""
    node = Node.FromString(world.serving.fleet.sessions[0].node)
    node.id = name
    return node


async def reject_all(client):
    """Reject every response the moment it comes, and once more every few milliseconds."""
    for one in TYPES:
        await client.subscribe(one)
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.002):
                message = await client.hear()
            await client.nack(TypeUrl(message.type_url), "I do not like it")
            continue
        await client.nack(TypeUrl.CLUSTER, "still not")
