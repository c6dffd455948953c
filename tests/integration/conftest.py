from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from tests.rig.near_world import NearWorld
from tests.rig.world import World

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure for the world, which is left later and does not see it."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(params=["delta", "sotw"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def world(mode: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with World(tmp_path, mode) as world:
        yield world
        world.failed = request.node.stash.get(FAILED, False)


@pytest.fixture
async def delta_world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """For what does not depend on the variant."""
    async with World(tmp_path, "delta") as world:
        yield world
        world.failed = request.node.stash.get(FAILED, False)


@pytest.fixture
async def near(mode: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[NearWorld]:
    """For what is between server and Envoy alone, without Consul; parametrised with options of the server."""
    async with NearWorld(tmp_path, mode, **getattr(request, "param", {})) as near:
        yield near
        near.failed = request.node.stash.get(FAILED, False)
