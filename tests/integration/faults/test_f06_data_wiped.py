from tests.integration.faults.durations import SHORT


async def test_f06_data_wiped(agent, fault_world):
    async with fault_world(agent) as world:
        await world.start()
        await agent.kill()
        agent.wipe()
        await agent.start()
        assert set(await agent.get("/v1/catalog/services")).isdisjoint(world.registered)
        await world.until_state("frozen", "stale")
        await world.holds(SHORT)
        # The operator brings the services back.
        for service, upstreams in world.registered.items():
            for upstream in upstreams:
                await world.register(service, upstream)
        await world.converges(within=10.0)
