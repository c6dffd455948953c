"""The rig itself: the cluster is one, and each of its members can go away and come back."""

import time

import pytest

from tests.rig.consul_cluster import ConsulCluster, two_datacenters
from tests.rig.consul_member import Member
from tests.rig.eventually import eventually

pytestmark = pytest.mark.slow


async def test_the_cluster_starts_and_elects_another_leader(tmp_path, record_property):
    started = time.monotonic()
    async with ConsulCluster(tmp_path) as cluster:
        record_property("up after, seconds", round(time.monotonic() - started, 2))
        first = await cluster.leader()
        await cluster.client.register("user", port=1)
        await first.kill()
        second = await eventually(cluster.leader, lambda leader: leader is not first, within=20.0)
        assert second in cluster.servers
        await eventually(lambda: cluster.client.get("/v1/health/service/user"), within=10.0)
        await first.start()
        assert len(await first.get("/v1/health/service/user")) == 1


async def test_the_cluster_with_acls_and_tls(tmp_path):
    async with ConsulCluster(tmp_path, acl=True, tls=True) as cluster:
        await cluster.client.register("user", port=1)
        rows = await eventually(lambda: cluster.client.get("/v1/health/service/user"), within=10.0)
        assert rows[0]["Node"]["Node"] == "client"
        assert cluster.client.address.startswith("https://")


async def test_a_single_agent_keeps_its_data_until_it_is_wiped(tmp_path):
    async with Member(tmp_path) as agent:
        await agent.put("/v1/kv/a", "b")
        await agent.kill()
        await agent.start()
        assert await agent.read("/v1/kv/a?raw") == b"b"
        await agent.kill()
        agent.wipe()
        await agent.start()
        with pytest.raises(RuntimeError, match="404"):
            await agent.read("/v1/kv/a?raw")


async def test_two_datacenters_know_of_each_other(tmp_path):
    async with two_datacenters(tmp_path) as (near, far):
        await far.register("user", port=1)
        rows = await eventually(lambda: near.get("/v1/health/service/user?dc=dc2"), within=10.0)
        assert rows[0]["Node"]["Datacenter"] == "dc2"
