"""`preflight: block` with a real server: what it costs, and what an Envoy that hangs does not."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.rig.eventually import eventually
from tests.rig.world import World
from xds_server.demo.binaries import find_envoy

pytestmark = pytest.mark.integration


async def preflights(world: World, result: str) -> float:
    return (await world.server.metrics()).total("xds_preflights_total", result=result)


async def test_changes_that_an_envoy_would_load_are_served(tmp_path: Path) -> None:
    async with World(tmp_path, "delta") as world:
        await world.instance("user")
        await world.start({"preflight": "block", "envoy": str(find_envoy())})
        before = await preflights(world, "passed")
        assert before > 0

        await world.instance("order")

        await eventually(lambda: world.get("order"), lambda answer: answer.status == 200, within=10)
        await eventually(lambda: preflights(world, "passed"), lambda now: now > before)
        assert await preflights(world, "unknown") == await preflights(world, "refused") == 0
        await eventually(lambda: world.envoy.hosts("order"), lambda hosts: len(hosts) == 1)


async def test_an_envoy_that_hangs_holds_up_no_endpoint(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    hanging = tmp_path / "hanging"
    # At first it answers, so that there is something to serve.
    hanging.write_text(f'#!/bin/sh\n[ -e {asked} ] || exec {find_envoy()} "$@"\necho >> {asked}\nsleep 60\n')
    hanging.chmod(0o700)
    async with World(tmp_path, "delta") as world:
        await world.instance("user")
        await world.start({"preflight": "block", "envoy": str(hanging)})
        asked.touch()
        loop = asyncio.get_running_loop()

        await world.instance("order")
        await eventually(asked.read_text, within=10)
        started = loop.time()
        await world.instance("user", "user-2")

        await eventually(lambda: world.envoy.hosts("user"), lambda hosts: len(hosts) == 2, within=5)
        assert loop.time() - started < 2
        # In the end it is served: who cannot tell stops nothing.
        await eventually(lambda: world.get("order"), lambda answer: answer.status == 200, within=10)
        (failed,) = world.server.events("preflight.failed")
        assert "gave no answer" in failed["error"]
        assert json.loads(await world.server.text("/problems"))["problems"] == []
