import asyncio
from pathlib import Path

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from tests.rig import envoy
from tests.rig.eventually import eventually
from tests.rig.load import Load
from tests.rig.meddling import meddling, without_metadata
from tests.rig.near_world import NearWorld
from xds_server.model.problem import Code
from xds_server.model.types import TypeUrl
from xds_server.translate.packing import draft

OLD = next(
    Path(__file__).parents[3].glob(".tools/envoy-1.36/lib/python3*/site-packages/envoy/_bin/envoy"), None
)

COMPOSITE = "envoy.extensions.clusters.composite.v3.ClusterConfig"


def modern():
    """Give a cluster of a type that is newer than Envoy 1.36."""
    made = Cluster(name="modern")
    made.cluster_type.name = "envoy.clusters.composite"
    made.cluster_type.typed_config.type_url = f"type.googleapis.com/{COMPOSITE}"
    # Newer than the messages this project has, too: one entry of field 1, the cluster named `user`.
    made.cluster_type.typed_config.value = b"\n\x06\n\x04user"
    made.lb_policy = Cluster.CLUSTER_PROVIDED
    return draft(TypeUrl.CLUSTER, "modern", made)


@pytest.mark.slow
@pytest.mark.skipif(OLD is None, reason="there is no Envoy 1.36 below .tools; run `make matrix` once")
async def test_f39_old_envoy(tmp_path, monkeypatch, record_property):
    """What an old Envoy does not know is withheld from those of its version, and from no other."""
    async with NearWorld(tmp_path, "delta") as world:
        user, order = await world.upstream("user"), await world.upstream("order")
        meddle = meddling(monkeypatch, world.inputs.pipeline)
        world.feed(user=[user.port])
        new = await world.start_envoy(amend=without_metadata)
        with monkeypatch.context() as patched:
            patched.setattr(envoy, "find_envoy", lambda: OLD)
            old = await world.start_envoy(node="old-1", amend=without_metadata)
        async with Load(f"http://127.0.0.1:{world.http_port}/", host="user", workers=1, pause=0.01) as load:
            meddle(modern())
            began = asyncio.get_running_loop().time()
            world.feed(user=[user.port], order=[order.port])
            await eventually(new.clusters, lambda found: {"modern", "order"} <= found.keys())
            await eventually(old.clusters, lambda found: "order" in found)
            record_property("converged_after_s", round(asyncio.get_running_loop().time() - began, 2))
            (problem,) = await eventually(
                lambda: [p for p in world.inputs.pipeline.problems if p.code is Code.RESOURCE_REJECTED]
            )
            assert "old-1" in problem.sentence
            assert "modern" not in await old.clusters()
            # One more of each: all at once, and nothing to reject.
            with monkeypatch.context() as patched:
                patched.setattr(envoy, "find_envoy", lambda: OLD)
                second = await world.start_envoy(node="old-2", amend=without_metadata)
            assert "order" in await second.clusters()
            await second.updates()
            await new.updates()
        assert not load.failures
        record_property("requests", len(load.answers))
        record_property("failed", 0)
