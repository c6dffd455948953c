import asyncio
import signal

from envoy.config.cluster.v3.cluster_pb2 import Cluster

from tests.rig.eventually import eventually
from tests.rig.load import Load
from tests.rig.meddling import meddling, unloadable, without_metadata
from tests.rig.near_world import NearWorld
from xds_server.model.problem import Code
from xds_server.model.types import TypeUrl
from xds_server.translate.packing import draft

GOOD = draft(TypeUrl.CLUSTER, "odd", Cluster(name="odd", type=Cluster.STATIC))
BAD = unloadable("odd")


async def test_f40_restart_while_rejected(tmp_path, monkeypatch, record_property):
    """An Envoy is killed and started again while a version that it rejected is the newest."""
    loop, requests = asyncio.get_running_loop(), 0
    async with NearWorld(tmp_path, "delta") as world:
        user, order = await world.upstream("user"), await world.upstream("order")
        meddle = meddling(monkeypatch, world.inputs.pipeline)
        meddle(GOOD)
        world.feed(user=[user.port])
        await world.start_envoy(amend=without_metadata)
        meddle(BAD)
        world.feed(user=[user.port], order=[order.port])
        (problem,) = await eventually(lambda: rejections(world))
        assert "the last accepted version is served" in problem.sentence
        await world.envoy.process.end(signal.SIGKILL)
        await world.envoy.stop()

        began = loop.time()
        await world.start_envoy(amend=without_metadata)
        record_property("converged_after_s", round(loop.time() - began, 2))
        requests += await loads_all(world)
        withheld = world.inputs.pipeline.withheld()
        assert [(one.name, one.by) for one in withheld[0].refused] == [("odd", ("edge-1",))]

    # And once more, with a server that was started in between and read from disk what was rejected.
    (tmp_path / "again").mkdir()
    async with NearWorld(tmp_path / "again", "delta") as world:
        user, order = await world.upstream("user"), await world.upstream("order")
        meddling(monkeypatch, world.inputs.pipeline)(BAD)
        world.inputs.pipeline.restore(withheld)
        world.feed(user=[user.port], order=[order.port])
        began = loop.time()
        await world.start_envoy(amend=without_metadata)
        record_property("converged_after_restart_s", round(loop.time() - began, 2))
        requests += await loads_all(world)
        assert rejections(world)
    record_property("requests", requests)
    record_property("failed", 0)


async def loads_all(world):
    """Check that the Envoy has everything, without a rejection, and serves; give the requests made."""
    assert {"user", "order", "odd"} <= (await world.envoy.clusters()).keys()
    async with Load(f"http://127.0.0.1:{world.http_port}/", host="order", workers=1) as load:
        await load.more(50)
    assert not load.failures
    await world.envoy.updates()
    return len(load.answers)


def rejections(world):
    return [one for one in world.inputs.pipeline.problems if one.code is Code.RESOURCE_REJECTED]
