"""A set of resources: by name, in the order of the names."""

import pytest

from tests.protocol.resources import SDS, secret, snapshot


def names(made):
    return list(made.sets[SDS].by_name)


@pytest.mark.shows("T-CA-01")
def test_resources_come_go_and_are_found_by_name():
    first = snapshot(secret("c"), secret("a"))
    second = snapshot(secret("b"), secret("c", "2"), secret("a"), after=first)
    third = snapshot(secret("b"), after=second)

    assert [names(made) for made in (first, second, third)] == [["a", "c"], ["a", "b", "c"], ["b"]]
    assert second.resource(SDS, "c").packed == secret("c", "2").packed
    assert third.resource(SDS, "a") is None
    # What was handed out before stays as it was.
    assert first.resource(SDS, "c").packed == secret("c").packed


@pytest.mark.shows("T-CA-14")
def test_snapshots_of_equal_content_share_their_versions_and_others_do_not():
    one, other = snapshot(secret("a")), snapshot(secret("b"), after=snapshot(secret("a")))

    assert snapshot(secret("a"), after=other).sets[SDS].version == one.sets[SDS].version
    assert other.sets[SDS].version != one.sets[SDS].version
