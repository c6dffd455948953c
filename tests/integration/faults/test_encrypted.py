"""The way to a cluster with ACLs and TLS, broken again and again."""

import pytest

from tests.rig.consul_acl import make_policy, make_token
from tests.rig.consul_cluster import ConsulCluster
from tests.rig.consul_member import SERVER_NAME

BREAKS = 5


@pytest.mark.slow
async def test_broken_connections_with_acls_and_tls(tmp_path, fault_world):
    file = tmp_path / "token"
    async with ConsulCluster(tmp_path, acl=True, tls=True) as cluster:
        token = await make_token(cluster.client, await make_policy(cluster.client))
        file.write_text(token.secret)
        tls = {"ca_file": str(cluster.ca_file), "server_name": SERVER_NAME}
        async with fault_world(cluster.client, way=True) as world:
            await world.start({"consul": {"token_file": str(file), "tls": tls}})
            world.figures["connections"] = world.way.open
            for _ in range(BREAKS):
                await world.way.reset()
                await world.holds(1.0)
            await world.converges(within=10.0)
            world.way.garbage = 1.0  # of an encrypted record, so that TLS notices
            await world.instance("order", "order-2")
            await world.holds(3.0)
            world.way.garbage = 0.0
            await world.converges(within=15.0)
            assert token.secret not in world.server.process.output
            assert not world.server.events("task.failed")
