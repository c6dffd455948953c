import json

from tests.integration.faults.kept import KEEPS, file_of, last_good, until_kept
from tests.rig.eventually import eventually
from tests.rig.fault_world import SERVICES
from xds_server.model.types import TypeUrl


async def test_f21_restart_without_consul(agent, fault_world):
    async with fault_world(agent) as world:
        await world.start(KEEPS)
        await until_kept(world, len(SERVICES))
        before = await last_good(world)
        await agent.kill()
        await world.server.kill()
        await world.server.start(ready_within=None)
        await eventually(lambda: world.server.status("/readyz"), (200).__eq__, within=20.0)
        state = json.loads(await world.server.text("/state"))
        standings = {one["source"]: one for one in state["sources"]}
        assert standings["last good"]["state"] == "stale"
        assert str(file_of(world)) in standings["last good"]["reason"]
        assert standings["consul"]["state"] == "stale"
        assert state["last_good"]["at"] == before["at"]
        assert state["services"] == before["services"]
        assert "last good stale" in await world.server.text("/readyz")
        # The one that was there keeps what it had, and is sent nothing.
        old = world.envoy
        await eventually(lambda: old.stat("control_plane.connected_state"), (1).__eq__, within=30.0)
        await world.holds(3.0)
        sent = await world.server.metrics()
        assert [
            sent.total("xds_responses_total", type=one.short) for one in (TypeUrl.CLUSTER, TypeUrl.LISTENER)
        ] == [0, 0]
        # One that was never there is given everything.
        new = await world.start_envoy(node="edge-2")
        assert {name: set(hosts) for name, hosts in (await new.clusters()).items()} == {
            name: set(hosts) for name, hosts in (await old.clusters()).items()
        }
        await new.updates()
        world.envoy = old
        # When Consul is back it takes over.
        await agent.start()
        await world.converges(within=30.0)
        standing = [one["source"] for one in json.loads(await world.server.text("/state"))["sources"]]
        assert standing == ["consul dc1"]
