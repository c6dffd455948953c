"""Who is served what, after some accepted and some rejected it."""

import time
from functools import partial

import pytest

from tests.protocol.resources import (
    CDS,
    EDS,
    LDS,
    RDS,
    SDS,
    cluster,
    endpoints,
    secret,
    service,
    snapshot,
    web,
)
from tests.protocol.talk import talking
from xds_server.model.problem import Code
from xds_server.model.proxy import Group
from xds_server.protocol import Answer
from xds_server.runtime.kind import FIRST_OFFER, MOST_REFUSED, NEXT_OFFER, Kind
from xds_server.snapshot import EMPTY

ONE = snapshot(secret("a"), secret("b"))
TWO = snapshot(secret("a", "2"), secret("b", "2"), after=ONE)
BLUE = snapshot(service("blue"), web("web", "blue"))
GREEN = snapshot(service("green"), web("web", "green"), after=BLUE)


def origin(type_url, name):
    return f"{type_url.short} {name}"


def answer(snap, type_url, *names, error=None, at=0.0):
    resources = {name: snap.resource(type_url, name) for name in names}
    suspects = frozenset(names if error else ())
    return Answer(
        type=type_url,
        nonce="1",
        version="",
        resources=resources,
        at=at,
        error=error,
        suspects=suspects,
        named=suspects,
    )


def accepting(kind, node="edge-1"):
    """A stream that has accepted everything there is."""
    view = kind.view(node)
    for type_url, entries in view.snapshots.value.sets.items():
        view.settle(answer(view.snapshots.value, type_url, *entries.by_name))
    return view


def kind_of(snap):
    kind = Kind()
    kind.publish(snap)
    return kind


def served(view, type_url):
    return dict(view.snapshots.value.sets[type_url].by_name)


@pytest.fixture
def kind():
    return kind_of(ONE)


def test_without_a_rejection_all_share_the_group_s_snapshot(kind):
    assert [accepting(kind).snapshots.value, kind.snapshots.value] == [ONE, ONE]


@pytest.mark.shows("P-030", "T-NK-04")
def test_what_one_rejects_and_none_accepts_is_served_as_it_was(kind):
    first = accepting(kind)
    kind.publish(TWO)
    first.settle(answer(TWO, SDS, "a", error="no good"))

    for view in (first, kind.view("edge-2"), kind):
        assert served(view, SDS) == {"a": ONE.resource(SDS, "a"), "b": TWO.resource(SDS, "b")}
        assert view.snapshots.value.sequence == TWO.sequence
        assert view.snapshots.value.replaced == {(SDS, "a")}
    (problem,) = kind.problems(origin)
    assert (problem.code, problem.source) == (Code.RESOURCE_REJECTED, "Secret a")
    said = "client 'edge-1' rejected Secret a: 'no good'; the last accepted version is served"
    assert problem.sentence == said


def test_those_who_are_served_the_same_share_it(kind):
    first = accepting(kind)
    kind.publish(TWO)
    first.settle(answer(TWO, SDS, "a", error="no good"))
    assert len({id(one.snapshots.value) for one in (first, kind.view("x"), kind.view("y"), kind)}) == 1


@pytest.mark.shows("T-NK-04")
def test_one_client_cannot_hold_back_what_another_accepts(kind):
    hostile, honest = accepting(kind, "hostile"), accepting(kind)
    kind.publish(TWO)
    hostile.settle(answer(TWO, SDS, "a", error="no good"))
    assert honest.snapshots.value is TWO
    honest.settle(answer(TWO, SDS, "a"))

    assert kind.view("edge-2").snapshots.value is TWO
    # Nor is the one that rejected it sent it again; here, or on its next stream.
    assert served(hostile, SDS)["a"] is served(kind.view("hostile"), SDS)["a"] is ONE.resource(SDS, "a")
    assert list(kind.problems(origin)) == []


@pytest.mark.shows("T-NK-04")
def test_the_word_of_one_that_accepts_nothing_counts_for_itself_only():
    kind = kind_of(ONE)
    hostile = kind.view("hostile")
    hostile.settle(answer(ONE, SDS, "a", "b", error="no good"))

    assert kind.view("edge-1").snapshots.value is ONE
    (problem,) = kind.problems(origin)
    assert problem.source == "client 'hostile'"
    hostile.close()
    assert list(kind.problems(origin)) == []


@pytest.mark.shows("P-030")
def test_a_newcomer_is_not_sent_what_is_new_and_was_rejected():
    """Nobody ever accepted it, so there is nothing that could be served in its place."""
    kind = kind_of(BLUE)
    first = kind.view("edge-1")
    first.settle(answer(BLUE, RDS, "web", error="no good"))
    first.settle(answer(BLUE, CDS, "blue", error="no good"))
    first.settle(answer(BLUE, EDS, "blue"))
    assert kind.view("edge-2").snapshots.value is BLUE
    for type_url in (CDS, RDS):
        first.settle(answer(EMPTY, type_url))
    fresh = kind.view("edge-2")
    assert fresh.snapshots.value.replaced >= {(CDS, "blue"), (RDS, "web")}
    # What stands in for them is there, so nothing that leads to it is lost.
    assert served(fresh, RDS)["web"].version != BLUE.resource(RDS, "web").version
    assert "there is no accepted version to serve" in next(kind.problems(origin)).sentence


@pytest.mark.shows("T-NK-04")
def test_what_two_nodes_reject_is_withheld_from_all(kind):
    views = [accepting(kind, f"edge-{number}") for number in range(3)]
    kind.publish(TWO)
    views[0].settle(answer(TWO, SDS, "a", error="no good"))
    assert views[2].snapshots.value is TWO
    views[1].settle(answer(TWO, SDS, "a", error="no good"))
    assert served(views[2], SDS)["a"] is ONE.resource(SDS, "a")


def test_two_streams_of_one_node_are_one_word(kind):
    views = [accepting(kind, node) for node in ("hostile", "hostile", "honest")]
    kind.publish(TWO)
    for view in views[:2]:
        view.settle(answer(TWO, SDS, "a", error="no good"))
    assert views[2].snapshots.value is TWO


@pytest.mark.shows("T-NK-04")
def test_two_liars_cannot_hold_anything_back_for_ever(kind):
    liars = [accepting(kind, f"liar-{number}") for number in range(2)]
    honest = [accepting(kind, f"edge-{number}") for number in range(3)]
    kind.publish(TWO)
    for one in liars:
        one.settle(answer(TWO, SDS, "a", error="no good"))
    withheld = ONE.resource(SDS, "a")
    kind.offer_again(FIRST_OFFER - 1)
    assert [served(one, SDS)["a"] for one in honest] == [withheld] * 3

    kind.offer_again(FIRST_OFFER + 1)
    kind.offer_again(FIRST_OFFER + 2)
    assert [served(one, SDS)["a"] is withheld for one in honest] == [False, True, True]
    kind.offer_again(FIRST_OFFER + 2 + NEXT_OFFER)
    assert [served(one, SDS)["a"] is withheld for one in honest] == [False, False, True]

    honest[0].settle(answer(TWO, SDS, "a"))
    assert [served(one, SDS)["a"] is withheld for one in (*honest, *liars)] == [False] * 3 + [True] * 2


def test_a_clock_that_is_set_back_does_not_hold_it_back_longer(kind):
    views = [accepting(kind, f"edge-{number}") for number in range(3)]
    kind.publish(TWO)
    for view in views[:2]:
        view.settle(answer(TWO, SDS, "a", error="no good", at=86_400.0))
    kind.offer_again(0.0)
    kind.offer_again(NEXT_OFFER)
    assert views[2].snapshots.value is TWO


def test_what_is_offered_again_and_rejected_is_not_offered_to_the_same(kind):
    views = [accepting(kind, f"edge-{number}") for number in range(3)]
    kind.publish(TWO)
    for view in views[:2]:
        view.settle(answer(TWO, SDS, "a", error="no good"))
    kind.offer_again(FIRST_OFFER + 1)
    views[2].settle(answer(TWO, SDS, "a", error="no good"))
    for number in range(5):
        kind.offer_again(1000.0 + NEXT_OFFER * number)
        assert {served(view, SDS)["a"] for view in views} == {ONE.resource(SDS, "a")}


@pytest.mark.parametrize("variant", ["sotw", "delta"])
@pytest.mark.shows("T-RC-11")
def test_one_that_brings_what_another_rejected_has_accepted_it(variant):
    one = snapshot(service("a"))
    two = snapshot(service("a", "2"), after=one)
    kind = kind_of(one)
    first = accepting(kind)
    kind.publish(two)
    first.settle(answer(two, CDS, "a", error="no good"))
    other = talking(variant, kind, "edge-2")
    version = two.sets[CDS].version if variant == "sotw" else two.resource(CDS, "a").version
    brings = {"version": version} if variant == "sotw" else {"has": {"a": version}}

    # A SotW client had asked before it was known; what it is told is what it has.
    assert [one.resources for one in other.ask(CDS, **brings)] in ([], [{"a": "2"}])
    assert kind.view("edge-3").snapshots.value is two


@pytest.mark.shows("P-064")
def test_the_version_of_a_response_about_something_else_accepts_nothing():
    """Endpoints in state of the world: an Envoy says the version of the last response, which held a part."""
    one = snapshot(service("a"), service("b"))
    two = snapshot(cluster("a"), endpoints("a", "2"), service("b"), after=one)
    kind = kind_of(one)
    first = accepting(kind)
    kind.publish(two)
    first.settle(answer(two, EDS, "a", error="no good"))
    other = talking("sotw", kind, "edge-2")
    other.ask(EDS, "a", "b", version=two.sets[EDS].version)

    assert not kind.refusals[EDS, "a"].accepted


def test_an_old_answer_does_not_undo_a_newer_one(kind):
    view = accepting(kind)
    kind.publish(TWO)
    view.settle(answer(TWO, SDS, "a"))
    kind.view("slow").settle(answer(ONE, SDS, "a"))

    accepting(kind, "hostile").settle(answer(TWO, SDS, "a", error="no"))
    assert view.snapshots.value is TWO


@pytest.mark.shows("P-030")
def test_a_change_of_the_rejected_resource_is_served(kind):
    view = accepting(kind)
    kind.publish(TWO)
    view.settle(answer(TWO, SDS, "a", error="no good"))
    three = snapshot(secret("a", "3"), secret("b", "2"), after=TWO)
    kind.publish(three)

    assert view.snapshots.value is three
    assert list(kind.problems(origin)) == []


@pytest.mark.shows("T-OR-21")
def test_other_changes_go_on_while_something_is_rejected(kind):
    view = accepting(kind)
    kind.publish(TWO)
    view.settle(answer(TWO, SDS, "a", error="no good"))
    before = view.snapshots.value
    kind.publish(snapshot(secret("a", "2"), secret("b", "3"), secret("c"), after=TWO))

    assert served(view, SDS)["a"] is ONE.resource(SDS, "a")
    assert view.snapshots.value.may_differ(before) == {SDS: {"b", "c"}}


@pytest.mark.shows("T-OR-07", "T-OR-15")
def test_routes_that_come_back_bring_the_clusters_they_lead_to():
    kind = kind_of(BLUE)
    view = accepting(kind)
    kind.publish(GREEN)
    view.settle(answer(GREEN, RDS, "web", error="no good"))

    assert served(view, RDS)["web"] is BLUE.resource(RDS, "web")
    assert sorted(served(view, CDS)) == sorted(served(view, EDS)) == ["blue", "green"]


def test_clusters_that_nothing_leads_to_any_more_are_forgotten():
    kind = kind_of(BLUE)
    view = accepting(kind)
    kind.publish(GREEN)
    view.settle(answer(GREEN, RDS, "web"))
    kind.publish(snapshot(service("green", "2"), web("web", "green"), after=GREEN))

    assert kind.good((CDS, "blue")) is None


@pytest.mark.shows("P-117")
def test_what_this_server_does_not_serve_is_not_remembered(kind):
    foreign = snapshot(secret("made-up"))
    view = accepting(kind)
    view.settle(answer(foreign, SDS, "made-up"))
    view.settle(answer(foreign, SDS, "made-up", error="no"))

    assert kind.good((SDS, "made-up")) is None
    assert kind.refusals == {}


@pytest.mark.shows("P-117")
def test_what_a_kind_remembers_is_bounded():
    names = [f"s{number}" for number in range(2 * MOST_REFUSED)]
    old = snapshot(*map(secret, names))
    new = snapshot(*(secret(name, "2") for name in names), after=old)
    kind = kind_of(old)
    views = [accepting(kind, f"edge-{number}") for number in range(10)]
    kind.publish(new)
    for view in views:
        view.settle(answer(new, SDS, *names, error="x" * 1000))

    assert len(kind.refusals) == MOST_REFUSED
    assert max(len(one.errors) for one in kind.refusals.values()) <= 8


def test_a_stream_that_has_ended_is_nobody(kind):
    view = accepting(kind)
    view.close()
    kind.publish(TWO)
    assert view.snapshots.value is ONE


def test_a_reader_of_snapshots_follows_all_the_way(kind):
    view = accepting(kind)
    other = accepting(kind, "edge-2")
    kind.publish(TWO)
    last, seen = TWO, dict(TWO.sets[SDS].by_name)

    def follow():
        nonlocal last
        newest = view.snapshots.value
        for name in newest.may_differ(last).get(SDS, ()):
            seen[name] = newest.resource(SDS, name)
        last = newest
        assert seen == dict(newest.sets[SDS].by_name)

    view.settle(answer(TWO, SDS, "a", error="no good"))
    follow()
    previous = TWO
    for word in ("3", "4", "5"):
        previous = snapshot(secret("a", "2"), secret("b", word), after=previous)
        kind.publish(previous)
        follow()
    other.settle(answer(previous, SDS, "a"))
    view.settle(answer(previous, SDS, "a"))
    follow()
    assert seen["a"].version == previous.resource(SDS, "a").version


def test_what_is_known_outlives_the_process():
    kind = kind_of(BLUE)
    view = accepting(kind)
    worse = snapshot(service("green"), web("web", "green"), secret("s"), after=BLUE)
    kind.publish(worse)
    view.settle(answer(worse, RDS, "web", error="no good"))
    view.settle(answer(worse, SDS, "s", error="no good"))
    kept = kind.withheld(Group(), "envoy 1.40.0")
    assert [(one.type, one.name, one.by, one.error) for one in kept.refused] == [
        (RDS, "web", ("edge-1",), "no good")
    ]
    assert sorted(one.name for one in kept.kept) == ["blue", "blue", "web"]

    after = Kind()
    after.restore(kept, 0.0)
    after.publish(snapshot(service("green"), web("web", "green")))
    fresh = after.view("edge-9")
    assert served(fresh, RDS)["web"].packed == BLUE.resource(RDS, "web").packed
    assert sorted(served(fresh, CDS)) == ["blue", "green"]
    assert after.withheld(Group(), "envoy 1.40.0") == kept
    after.publish(snapshot(service("green", "2"), web("web", "green", "green"), after=after.raw))
    assert after.withheld(Group(), "envoy 1.40.0") is None


@pytest.mark.parametrize("variant", ["sotw", "delta"])
def test_one_change_costs_one_change_while_something_is_withheld(variant):
    """Nobody walks over 1,500 clusters for it."""
    names = [f"s{number:04}" for number in range(1500)]
    old = snapshot(*(service(name) for name in names))
    kind = kind_of(old)
    talk = talking(variant, kind)
    for type_url, wanted in ((CDS, ()), (EDS, names), (LDS, ())):
        talk.ask(type_url, *wanted)
    talk.ack(EDS)
    talk.ack(CDS)
    worse = snapshot(*(service(name, "2" if name == "s0007" else "1") for name in names), after=old)
    kind.publish(worse)
    talk.follow()
    talk.reject(CDS, "s0007")
    snapshots = [worse]
    drafts = [service(name, "2" if name == "s0007" else "1") for name in names]
    for number in range(5):
        drafts[9] = service(names[9], f"x{number}")
        snapshots.append(snapshot(*drafts, after=snapshots[-1]))
    offers = []
    for one in snapshots[1:]:
        kind.publish(one)
        offer = partial(talk.machine.offer, talk.view.snapshots.value)
        started = time.perf_counter()
        offer()
        offers.append(time.perf_counter() - started)
        assert talk.machine.types[CDS].dirty <= {"s0007", "s0009"}
    assert min(offers) < 0.0005
