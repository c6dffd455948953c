from functools import partial

import pytest

from tests.rig.eventually import eventually
from tests.rig.hooked_server import HookedServer

# One of each part: what reads Consul, what builds, what keeps a kind, what speaks, what answers an operator.
PLACES = (
    "xds_server.consul.belief:Belief.take_service",
    "xds_server.translate.translate:Translator.translating",
    "xds_server.runtime.kind:Kind.publish",
    "xds_server.runtime.pipeline:Pipeline._build_all",
    "xds_server.files.secrets:SecretsSource.use",
)


@pytest.mark.slow
async def test_f27_exceptions(agent, fault_world):
    """Each part fails twice when it is next needed: it is begun anew, and what was served stays."""
    async with fault_world(agent) as world:
        world.kind_of_server = HookedServer
        await world.start()
        for place in PLACES:
            await world.server.do("fail", places=[place], times=2)
            await world.instance("extra", place.rpartition(".")[2])
            await world.holds(0.5)
        await world.converges(within=20.0)
        for place in PLACES:
            await eventually(partial(_answers, world, place.rpartition(".")[2]), within=20.0)
        failed = (await world.server.metrics()).total("xds_task_failures_total")
        built = (await world.server.metrics()).total("xds_snapshot_builds_total", result="failed")
        world.figures["injected"] = len(world.server.process.output.split("injected into"))
        assert failed >= 1
        assert built >= 2


async def _answers(world, name):
    return (await world.get("extra")).body == name
