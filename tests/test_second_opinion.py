"""Everything the golden stories emit, read by a second decoder."""

from pathlib import Path

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from tests.rig import other_decoder
from tests.rig.story import GOLDEN, run_story, stories
from xds_server.model.types import TypeUrl
from xds_server.protocol import DeltaMachine, SotwMachine
from xds_server.snapshot import Snapshot

each_story = pytest.mark.parametrize("story", stories())


@pytest.fixture
def snapshot(story: str, tmp_path: Path) -> Snapshot:
    return run_story(GOLDEN / story, tmp_path).snapshot


@each_story
def test_another_decoder_reads_the_same_from_every_resource(snapshot: Snapshot) -> None:
    for resources in snapshot.sets.values():
        for name, resource in resources.by_name.items():
            assert other_decoder.disagreements(resource.packed) == [], name


@each_story
def test_another_decoder_finds_every_resource_in_the_responses(snapshot: Snapshot) -> None:
    for type_url, resources in snapshot.sets.items():
        sotw, delta = answers(snapshot, type_url, list(resources.by_name))
        listed = {one.value for response in sotw for one in response.resources}
        named = {one.name: one.version for response in delta for one in response.resources}

        assert len(listed) == len(resources.by_name)
        assert named == {name: one.version for name, one in resources.by_name.items()}


def answers(snapshot: Snapshot, type_url: TypeUrl, names: list[str]) -> tuple[list, list]:
    """Give what a client that names everything is sent in both variants, as the other decoder reads it."""
    sotw, delta = SotwMachine(snapshot, "test"), DeltaMachine(snapshot, "test")
    sotw.receive(DiscoveryRequest(type_url=type_url, resource_names=names), 0.0)
    delta.receive(DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names), 0.0)
    return (
        [other_decoder.DiscoveryResponse.parse(one.payload) for one in sotw.outbox(0.0)],
        [other_decoder.DeltaDiscoveryResponse.parse(one.payload) for one in delta.outbox(0.0)],
    )


def test_a_field_the_other_one_loses_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot = run_story(GOLDEN / stories()[0], tmp_path).snapshot
    packed = next(iter(snapshot.sets[TypeUrl.LISTENER].by_name.values())).packed

    class Forgetful:
        def parse(self, _: bytes) -> bytes:
            return b""

    monkeypatch.setattr(other_decoder, "_other", lambda _: Forgetful())

    assert "envoy.config.listener.v3.Listener" in other_decoder.disagreements(packed)
