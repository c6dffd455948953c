from tests.integration.faults.durations import SHORT


async def test_f01_agent_killed(cluster, fault_world):
    async with fault_world(cluster.client) as world:
        # While their agent is away, Consul's servers call the node and so all its services critical.
        world.healthy = False
        await world.start()
        await cluster.client.kill()
        await world.until_state("stale")
        assert (await world.server.metrics()).total("xds_source_state", state="live") == 0
        await world.holds(SHORT)
        assert await world.server.status("/readyz") == 200
        await cluster.client.start(up=False)
        await world.converges(within=10.0)
