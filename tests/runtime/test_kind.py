"""What a kind of clients rejects is replaced by what it accepted last, with all that needs."""

import pytest

from tests.protocol.resources import CDS, EDS, RDS, SDS, secret, service, snapshot, web
from xds_server.model.problem import Code
from xds_server.protocol import Answer
from xds_server.runtime.kind import Kind

ONE = snapshot(secret("a"), secret("b"))
TWO = snapshot(secret("a", "2"), secret("b", "2"), after=ONE)
BLUE = snapshot(service("blue"), web("web", "blue"))
GREEN = snapshot(service("green"), web("web", "green"), after=BLUE)


def answer(snap, type_url, *names, error=None):
    resources = {name: snap.resource(type_url, name) for name in names}
    return Answer(
        type=type_url,
        nonce="1",
        version="",
        resources=resources,
        at=0.0,
        error=error,
        at_fault=frozenset(names if error else ()),
    )


def kind_of(snap, *accepted):
    """A kind that has accepted everything of the snapshot."""
    kind = Kind()
    kind.publish(snap)
    for type_url in snap.sets:
        kind.settle(answer(snap, type_url, *snap.sets[type_url].by_name), "edge-1")
    return kind


def served(kind, type_url):
    return dict(kind.snapshots.value.sets[type_url].by_name)


def test_without_a_rejection_all_share_the_group_s_snapshot():
    assert kind_of(ONE).snapshots.value is ONE


@pytest.mark.shows("P-030", "T-NK-04")
def test_what_one_rejects_and_none_accepts_is_served_as_it_was():
    kind = kind_of(ONE)
    kind.publish(TWO)
    assert kind.settle(answer(TWO, SDS, "a", error="no good"), "edge-1")

    assert served(kind, SDS) == {"a": ONE.resource(SDS, "a"), "b": TWO.resource(SDS, "b")}
    assert kind.snapshots.value.changed_since(TWO.sequence) == {SDS: {"a"}}
    (problem,) = kind.problems()
    assert (problem.code, problem.source) == (Code.RESOURCE_REJECTED, "Secret a")
    assert problem.sentence == "client 'edge-1' rejected it: 'no good'; the last accepted version is served"


@pytest.mark.shows("T-NK-04")
def test_one_client_cannot_hold_back_what_another_accepts():
    kind = kind_of(ONE)
    kind.publish(TWO)
    kind.settle(answer(TWO, SDS, "a"), "edge-2")
    assert not kind.settle(answer(TWO, SDS, "a", error="no good"), "hostile")
    assert kind.snapshots.value is TWO


def test_the_first_who_accepts_brings_it_back():
    kind = kind_of(ONE)
    kind.publish(TWO)
    kind.settle(answer(TWO, SDS, "a", error="no good"), "hostile")
    assert kind.settle(answer(TWO, SDS, "a"), "edge-2")

    assert served(kind, SDS)["a"] is TWO.resource(SDS, "a")
    assert list(kind.problems()) == []


def test_an_old_answer_does_not_undo_a_newer_one():
    kind = kind_of(ONE)
    kind.publish(TWO)
    kind.settle(answer(TWO, SDS, "a"), "edge-1")
    kind.settle(answer(ONE, SDS, "a"), "slow")

    assert not kind.settle(answer(TWO, SDS, "a", error="no"), "hostile")


@pytest.mark.shows("P-030")
def test_a_change_of_the_rejected_resource_is_served():
    kind = kind_of(ONE)
    kind.publish(TWO)
    kind.settle(answer(TWO, SDS, "a", error="no good"), "edge-1")
    three = snapshot(secret("a", "3"), secret("b", "2"), after=TWO)
    kind.publish(three)

    assert served(kind, SDS) == dict(three.sets[SDS].by_name)
    assert list(kind.problems()) == []


@pytest.mark.shows("T-OR-21")
def test_other_changes_go_on_while_something_is_rejected():
    kind = kind_of(ONE)
    kind.publish(TWO)
    kind.settle(answer(TWO, SDS, "a", error="no good"), "edge-1")
    three = snapshot(secret("a", "2"), secret("b", "3"), secret("c"), after=TWO)
    before = kind.snapshots.value
    kind.publish(three)

    assert served(kind, SDS)["a"] is ONE.resource(SDS, "a")
    assert kind.snapshots.value.changed_since(before.sequence) == {SDS: {"b", "c"}}


def test_without_an_accepted_version_the_rejected_one_stays():
    kind = Kind()
    kind.publish(ONE)
    assert (
        not kind.settle(answer(ONE, SDS, "a", "b", error="no good"), "edge-1") or kind.snapshots.value is ONE
    )

    assert served(kind, SDS) == dict(ONE.sets[SDS].by_name)
    assert {problem.sentence.rpartition("; ")[2] for problem in kind.problems()} == {
        "there is no accepted version to serve"
    }


@pytest.mark.shows("T-OR-07", "T-OR-15")
def test_routes_that_come_back_bring_the_clusters_they_lead_to():
    kind = kind_of(BLUE)
    kind.publish(GREEN)
    kind.settle(answer(GREEN, RDS, "web", error="no good"), "edge-1")

    assert served(kind, RDS)["web"] is BLUE.resource(RDS, "web")
    assert sorted(served(kind, CDS)) == sorted(served(kind, EDS)) == ["blue", "green"]


def test_clusters_that_nothing_leads_to_any_more_are_forgotten():
    kind = kind_of(BLUE)
    kind.publish(GREEN)
    kind.settle(answer(GREEN, RDS, "web"), "edge-1")
    kind.publish(snapshot(service("green", "2"), web("web", "green"), after=GREEN))

    assert "blue" not in kind._accepted[CDS]


@pytest.mark.shows("P-117")
def test_what_this_server_does_not_serve_is_not_remembered():
    kind = kind_of(ONE)
    foreign = snapshot(secret("made-up"))
    kind.settle(answer(foreign, SDS, "made-up"), "hostile")

    assert sorted(kind._accepted[SDS]) == ["a", "b"]


def test_a_reader_of_snapshots_follows_all_the_way():
    kind = kind_of(ONE)
    kind.publish(TWO)
    seen = dict(TWO.sets[SDS].by_name)
    at = TWO.sequence

    def follow():
        nonlocal at
        newest = kind.snapshots.value
        for name in (newest.changed_since(at) or {}).get(SDS, ()):
            seen[name] = newest.resource(SDS, name)
        at = newest.sequence
        assert seen == dict(newest.sets[SDS].by_name)

    kind.settle(answer(TWO, SDS, "a", error="no good"), "edge-1")
    follow()
    previous = TWO
    for word in ("3", "4", "5"):
        previous = snapshot(secret("a", "2"), secret("b", word), after=previous)
        kind.publish(previous)
        follow()
    kind.settle(answer(previous, SDS, "a"), "edge-2")
    follow()
    assert seen["a"].version == previous.resource(SDS, "a").version
