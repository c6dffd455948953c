"""What the tests of the last good state on disk have in common."""

import json
from pathlib import Path
from typing import Any, Final

from tests.rig.eventually import eventually
from tests.rig.fault_world import FaultWorld

KEEPS: Final[dict[str, Any]] = {"state_dir": "state"}
"""Settings with which the state is kept in the folder `state` beside the settings file."""


def file_of(world: FaultWorld) -> Path:
    """Give the file with the last good state."""
    return world.directory / "state" / "last-good"


async def last_good(world: FaultWorld) -> dict[str, Any]:
    """Give what `/state` says of the file."""
    told: dict[str, Any] = json.loads(await world.server.text("/state"))["last_good"]
    return told


async def until_kept(world: FaultWorld, services: int) -> None:
    """Wait until so many services at the least are on disk."""
    await eventually(lambda: last_good(world), lambda told: told["services"] >= services, within=20.0)
