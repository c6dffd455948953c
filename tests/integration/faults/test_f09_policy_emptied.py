from tests.integration.faults.durations import SHORT
from tests.rig.consul_acl import make_policy, make_token


async def test_f09_policy_emptied(strict_agent, fault_world, tmp_path):
    policy = await make_policy(strict_agent)
    token, file = await make_token(strict_agent, policy), tmp_path / "token"
    file.write_text(token.secret)
    async with fault_world(strict_agent) as world:
        await world.start({"consul": {"token_file": str(file)}})
        await make_policy(strict_agent, rules="", policy=policy)
        for service in ("order", "cart", "new-1", "new-2"):  # wake what is held
            await world.instance(service, f"{service}-extra")
        await world.until_state("frozen")
        await world.holds(SHORT)
        await make_policy(strict_agent, policy=policy)
        await world.converges(within=10.0)
