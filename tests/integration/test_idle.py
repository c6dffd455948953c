import asyncio

import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

SECONDS = [
    pytest.param(5, id="5 s"),
    pytest.param(600, id="10 min", marks=[pytest.mark.slow, pytest.mark.timeout(700)]),
]


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.shows("P-037", "T-DL-30", "T-SW-23")
async def test_nothing_is_sent_while_only_consuls_index_moves(delta_world, seconds):
    world = delta_world
    await world.instance("user")
    await world.instance("order")
    await world.start()
    await world.start_envoy(mode="sotw", node="edge-2")
    assert (await world.server.metrics()).total("xds_streams") == 2
    await world.consul.put("/v1/kv/churn", "start")
    await world.consul.put("/v1/catalog/register", noted(-1))
    before, index = await quiet(world), await consul_index(world)
    for number in range(20 * seconds):
        await world.consul.put("/v1/kv/churn", str(number))
        if number % 10 == 0:
            # A check's output moves the index of the very service that is watched.
            await world.consul.put("/v1/catalog/register", noted(number))
        await asyncio.sleep(0.05)
    assert await consul_index(world) >= index + 20 * seconds
    after = await quiet(world)
    assert after["queries"] > before["queries"]
    assert after["sent"] == before["sent"]


def noted(number):
    """A check of the agent's node that passes as ever, and says something else."""
    check = {"Name": "note", "CheckID": "note", "Status": "passing", "Output": f"all well, {number}"}
    return {"Node": "test-node", "Address": "127.0.0.1", "SkipNodeUpdate": True, "Check": check}


async def quiet(world):
    """What was sent and taken so far, once nothing is under way."""
    metrics = await eventually(
        world.server.metrics, lambda m: m.total("xds_requests_total") >= m.total("xds_responses_total")
    )
    return {
        "sent": metrics.total("xds_responses_total"),
        "queries": metrics.total("xds_consul_queries_total"),
    }


async def consul_index(world):
    return (await world.consul.get("/v1/kv/churn?recurse"))[0]["ModifyIndex"]
