"""A delta response that would be too large for some clients becomes several."""

import pytest

from tests.protocol.resources import SDS, secret, snapshot
from tests.protocol.talk import DeltaTalk
from xds_server.protocol import delta_push


@pytest.mark.shows("P-085", "T-DL-27")
def test_a_large_answer_is_split_and_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(delta_push, "MAX_RESPONSE", 10_000)
    many = snapshot(secret(f"s{number:04}", "x" * 100) for number in range(1000))
    talk = DeltaTalk(many)
    responses = talk.ask(SDS, "*")

    assert len(responses) > 10
    assert sorted(name for one in responses for name in one.resources) == sorted(many.sets[SDS].by_name)
    assert len({one.nonce for one in responses}) == len(responses)
    # Each is acknowledged on its own; only then is the client settled.
    for one in responses:
        assert not talk.machine.types[SDS].idle
        talk.ack(SDS, one.nonce)
    assert talk.machine.types[SDS].quiet


@pytest.mark.shows("P-085")
def test_one_resource_larger_than_the_cap_goes_alone(monkeypatch):
    monkeypatch.setattr(delta_push, "MAX_RESPONSE", 1000)
    talk = DeltaTalk(snapshot(secret("a"), secret("b", "x" * 2000), secret("c")))

    assert [list(one.resources) for one in talk.ask(SDS, "*")] == [["a"], ["b"], ["c"]]
