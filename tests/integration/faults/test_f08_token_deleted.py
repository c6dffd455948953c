import pytest

from tests.integration.faults.durations import SHORT
from tests.rig.consul_acl import make_policy, make_token


@pytest.mark.slow
async def test_f08_token_deleted(strict_agent, fault_world, tmp_path):
    policy = await make_policy(strict_agent)
    first, file = await make_token(strict_agent, policy), tmp_path / "token"
    file.write_text(first.secret)
    async with fault_world(strict_agent) as world:
        await world.start({"consul": {"token_file": str(file)}})
        await strict_agent.delete(f"/v1/acl/token/{first.accessor}")
        # A query that is held goes on; the next one is refused.
        await world.instance("order", "order-2")
        await world.until_state("frozen", "stale")
        await world.holds(SHORT)
        assert first.secret not in world.server.process.output
        second = await make_token(strict_agent, policy)
        file.write_text(second.secret)
        await world.converges(within=10.0)
        assert second.secret not in world.server.process.output
