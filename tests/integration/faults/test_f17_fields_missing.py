import json
from dataclasses import replace

import pytest

from tests.rig.eventually import eventually

# What Consul has not had from its first version on, or what may well be empty.
DISPENSABLE = (
    ("Node", "Datacenter"),
    ("Node", "ID"),
    ("Node", "Meta"),
    ("Node", "TaggedAddresses"),
    ("Node", "ModifyIndex"),
    ("Service", "Connect"),
    ("Service", "EnableTagOverride"),
    ("Service", "Kind"),
    ("Service", "Meta"),
    ("Service", "ModifyIndex"),
    ("Service", "Proxy"),
    ("Service", "TaggedAddresses"),
    ("Service", "Tags"),
    ("Service", "Weights"),
    ("Checks",),
)
# Without these a row does not say where its instance is.
NEEDED = (("Service", "Port"), ("Service", "Service"), ("Service",), ("Node",))


async def test_f17_fields_missing(agent, fault_world):
    async with fault_world(agent, answers=True) as world:
        await world.start()
        world.answers.change = without(*DISPENSABLE)
        await world.converges(within=10.0)
        await world.holds(2.0)
        assert await world.server.problems() == []


@pytest.mark.slow
@pytest.mark.parametrize("field", NEEDED, ids=".".join)
async def test_f17_a_field_that_is_needed_is_missing(agent, fault_world, field):
    async with fault_world(agent, answers=True) as world:
        await world.start()
        world.answers.change = without(field)
        order = world.registered["order"][0]
        await world.register("order", order, meta={"wake": "up"})
        problems = await eventually(world.server.problems, within=10.0)
        assert {"order" in problem["source"] for problem in problems} == {True}
        await world.holds(3.0)
        world.answers.change = without()
        await world.converges(within=10.0)
        await world.register("order", order, meta={"wake": "again"})
        await eventually(world.server.problems, lambda problems: problems == [], within=40.0)


def without(*fields):
    """Take fields, given as paths, out of every row of an answer about one service."""

    def change(path, reply):
        if not path.startswith("/v1/health/service/"):
            return reply
        rows = json.loads(reply.body)
        for row in rows:
            for *parents, name in fields:
                place = row
                for parent in parents:
                    place = place.get(parent, {})
                place.pop(name, None)
        return replace(reply, body=json.dumps(rows).encode())

    return change
