from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.rig.world import World


@pytest.fixture(params=["delta", "sotw"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def world(mode: str, tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path, mode) as world:
        yield world


@pytest.fixture
async def delta_world(tmp_path: Path) -> AsyncIterator[World]:
    """For what does not depend on the variant."""
    async with World(tmp_path, "delta") as world:
        yield world
