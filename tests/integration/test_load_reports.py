import json

import pytest

from tests.rig.envoy import envoy_version
from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration


async def loads(world) -> dict[str, dict]:
    """Give the rows of /load by cluster."""
    rows = json.loads(await world.server.text("/load"))["rows"]
    return {row["cluster"]: row for row in rows}


async def start(world) -> int:
    """Start server and Envoy, wait until `user` is counted, and give how often it was asked by then.

    Envoy counts a cluster from the first report after it has come. Its own stream is in that report.
    """
    await world.start_server()
    await world.start_envoy(load_stats=True)
    await world.serving("user", "user")
    rows = await eventually(lambda: loads(world), lambda rows: "xds_cluster" in rows, within=30)
    return int(rows["user"]["issued"]) if "user" in rows else 0


@pytest.mark.shows("P-121")
@pytest.mark.slow  # Envoy reports every 10 s
@pytest.mark.skipif(envoy_version() < (1, 37), reason="this Envoy leaves out what is only in progress")
async def test_the_requests_of_an_envoy_are_counted(delta_world):
    world = delta_world
    await world.instance("user")
    failing = await world.instance("order")
    failing.failing = True
    before = await start(world)

    for _ in range(20):
        assert (await world.get("user")).status == 200
    assert (await world.get("order")).status == 503

    rows = await eventually(lambda: loads(world), lambda rows: "order" in rows, within=30)
    user, order = rows["user"], rows["order"]
    assert user["client"] == "edge-1"
    assert user["issued"] == user["successful"] == before + 20
    assert user["error"] == 0
    assert (order["issued"], order["successful"], order["error"]) == (1, 0, 1)
    assert user["in_progress"] == user["dropped"] == 0

    await world.envoy.stop()

    # The streams to this server were requests in progress.
    assert rows["xds_cluster"]["in_progress"]
    after = await eventually(lambda: loads(world), lambda rows: not rows["xds_cluster"]["in_progress"])
    assert after["user"]["issued"] == before + 20
