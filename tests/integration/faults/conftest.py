from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.rig.consul_agent import MISSING, find_consul
from tests.rig.consul_api import ConsulApi
from tests.rig.consul_cluster import ConsulCluster
from tests.rig.consul_member import ACL, ROOT_TOKEN, SINGLE, Member
from tests.rig.fault_world import FaultWorld


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder needs a real Consul."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.skipif(find_consul() is None, reason=MISSING))


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Member]:
    """A single agent, which is a server and its own leader."""
    async with Member(tmp_path) as agent:
        yield agent


@pytest.fixture
async def strict_agent(tmp_path: Path) -> AsyncIterator[Member]:
    """The same with ACLs, that denies whatever is not granted."""
    async with Member(tmp_path, hcl=(*SINGLE, ACL), token=ROOT_TOKEN) as agent:
        yield agent


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ConsulCluster]:
    """Three servers and a client agent."""
    async with ConsulCluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def fault_world(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> Iterator[Callable[..., FaultWorld]]:
    """Make a world on a Consul; what it measured goes into the report of the test."""
    made: list[FaultWorld] = []

    def make(consul: ConsulApi, **between: bool) -> FaultWorld:
        made.append(FaultWorld(tmp_path, consul, **between))
        return made[-1]

    yield make
    for world in made:
        for name, figure in world.figures.items():
            record_property(name, figure)
