"""What goes before what, by script, in both variants: make before break."""

import pytest

from tests.protocol.resources import (
    CDS,
    EDS,
    LDS,
    RDS,
    SDS,
    cluster,
    endpoints,
    listener,
    routes,
    secret,
    service,
    snapshot,
    web,
)
from tests.protocol.talk import TALKS, SotwTalk, sent
from xds_server.model.types import TypeUrl
from xds_server.protocol.machine import CLUSTERS_AWAITED
from xds_server.protocol.order import PUSH_ORDER

BLUE = snapshot(service("blue"), web("l", "blue"))
GREEN = snapshot(service("green"), web("l", "green"), after=BLUE)
BOTH_CLUSTERS = {"blue": "1", "green": "1"}


@pytest.fixture(params=TALKS)
def begin(request):
    return TALKS[request.param]


def settled(begin, snap, *types):
    """Begin a stream of an Envoy that has everything, and has acknowledged it."""
    talk = begin(snap)
    for type_url in types or (CDS, EDS, LDS, RDS, SDS):
        names = () if type_url in {CDS, LDS} else snap.sets[type_url].by_name
        if talk.ask(type_url, *names):
            talk.ack(type_url)
    return talk


def gone(talk, name, **left):
    """Give what says that a cluster has left: in SotW what stays, in delta its name."""
    return sent(CDS, **left) if talk.variant == "sotw" else sent(CDS, removed=(name,))


def added(talk, old, **new):
    """Give what says that clusters are new: in SotW with those that were there."""
    return sent(CDS, **(old | new)) if talk.variant == "sotw" else sent(CDS, **new)


def types(responses):
    return [one.type for one in responses]


@pytest.mark.shows("P-090", "T-OR-16")
def test_the_order_is_a_table():
    known = (SDS, CDS, EDS, LDS, RDS)
    assert tuple(one for one in PUSH_ORDER if one in known) == known
    assert sorted(PUSH_ORDER) == sorted(TypeUrl)


@pytest.mark.shows("T-OR-01")
def test_a_cold_start_is_answered_request_by_request(begin):
    talk = begin(BLUE)

    assert talk.ask(CDS) == [sent(CDS, blue="1")]
    assert talk.ask(EDS, "blue") == [sent(EDS, blue="1")]
    assert talk.ack(EDS) == []
    assert talk.ack(CDS) == []
    assert talk.ask(LDS) == [sent(LDS, l="1")]
    assert talk.ask(RDS, "l") == [sent(RDS, l="blue")]
    assert [talk.ack(LDS), talk.ack(RDS)] == [[], []]


@pytest.mark.shows("P-035", "P-091", "T-OR-02", "T-OR-03")
def test_the_endpoints_of_a_changed_cluster_follow_it_at_once(begin):
    """Envoy acknowledges the cluster only when they have come."""
    talk = settled(begin, BLUE)

    changed = snapshot(service("blue", "2"), web("l", "blue"), after=BLUE)
    assert talk.offer(changed) == [sent(CDS, blue="2"), sent(EDS, blue="1")]


@pytest.mark.shows("T-OR-02")
def test_only_the_endpoints_of_the_changed_cluster_follow(begin):
    old = snapshot(service("a"), service("b"))
    talk = settled(begin, old, CDS, EDS)

    (clusters, assignments) = talk.offer(snapshot(service("a", "2"), service("b"), after=old))
    assert clusters.resources["a"] == "2"
    assert assignments == sent(EDS, a="1")


@pytest.mark.shows("P-092", "T-OR-11")
def test_a_changed_listener_gets_its_routes_again(begin):
    talk = settled(begin, BLUE)

    changed = snapshot(service("blue"), listener("l", "2"), routes("l", "blue"), after=BLUE)
    assert talk.offer(changed) == [sent(LDS, l="2"), sent(RDS, l="blue")]


@pytest.mark.shows("P-095", "T-OR-04")
def test_a_request_is_answered_while_a_push_waits(begin):
    old = snapshot(service("a"), service("b"), web("l", "a"))
    talk = settled(begin, old)
    if talk.variant == "sotw":
        talk.ask(EDS, "a")
    else:
        talk.ask(EDS, drop=("b",))
    talk.offer(snapshot(service("a"), service("b", "2"), web("l", "b"), after=old))

    assert talk.ask(EDS, *(("a", "b") if talk.variant == "sotw" else ("b",))) == [sent(EDS, b="1")]


@pytest.mark.shows("P-093", "P-094", "T-OR-05", "T-OR-06")
def test_blue_green(begin):
    """The new cluster, its endpoints, the routes, then the old one goes."""
    talk = settled(begin, BLUE)

    assert talk.offer(GREEN) == [added(talk, {"blue": "1"}, green="1")]
    names = ("blue", "green") if talk.variant == "sotw" else ("green",)
    assert talk.ask(EDS, *names) == [sent(EDS, green="1")]
    assert talk.ack(EDS) == []
    assert talk.ack(CDS) == [sent(RDS, l="green")]
    assert talk.ack(RDS) == [gone(talk, "blue", green="1")]


@pytest.mark.shows("P-090", "T-OR-06")
def test_in_delta_the_endpoints_go_last_of_all():
    talk = settled(TALKS["delta"], BLUE)
    talk.offer(GREEN)
    talk.ack(CDS)
    talk.ack(RDS)

    assert talk.ack(CDS) == [sent(EDS, removed=("blue",))]


@pytest.mark.shows("P-093")
def test_routes_do_not_overtake_clusters_that_wait(begin):
    """A second change meets clusters that are not acknowledged."""
    talk = settled(begin, BLUE)
    first = snapshot(service("blue", "2"), web("l", "blue"), after=BLUE)
    talk.offer(first)

    assert talk.offer(snapshot(service("blue", "2"), service("green"), web("l", "green"), after=first)) == []
    assert talk.ack(CDS) == [added(talk, {"blue": "2"}, green="1")]
    assert talk.ack(CDS) == [sent(RDS, l="green")]


@pytest.mark.shows("P-093", "P-095")
def test_what_asked_for_routes_lead_to_goes_before_them(begin):
    """Neither does the request wait, nor do the routes come first."""
    old = snapshot(service("blue"), web("l", "blue"))
    talk = settled(begin, old, CDS, EDS, LDS)
    first = snapshot(service("blue", "2"), web("l", "blue"), after=old)
    talk.offer(first)
    talk.offer(snapshot(service("blue", "2"), service("green"), web("l", "green"), after=first))

    assert talk.ask(RDS, "l") == [added(talk, {"blue": "2"}, green="1"), sent(RDS, l="green")]


@pytest.mark.parametrize("type_url", [LDS, RDS])
@pytest.mark.shows("P-095", "T-OR-04")
def test_what_is_asked_for_while_clusters_wait_is_answered_whole(begin, type_url):
    """An empty answer to the first request would be believed."""
    talk = begin(BLUE)
    talk.ask(CDS)

    answer = {"l": "1"} if type_url is LDS else {"l": "blue"}
    assert talk.ask(type_url, *("l" if type_url is RDS else "")) == [sent(type_url, **answer)]


@pytest.mark.shows("P-094", "T-OR-07")
def test_a_rejected_route_keeps_the_cluster_it_was_to_leave(begin):
    """Until a later one is accepted."""
    talk = settled(begin, BLUE)
    talk.offer(GREEN)
    talk.ack(CDS)
    assert talk.reject(RDS) == []
    assert talk.nack.type is RDS

    better = snapshot(service("green"), listener("l"), routes("l", "green", "green"), after=GREEN)
    assert talk.offer(better) == [sent(RDS, l="green+green")]
    assert talk.ack(RDS) == [gone(talk, "blue", green="1")]


@pytest.mark.shows("P-097", "T-OR-21")
def test_a_rejected_cluster_does_not_hold_up_the_routes(begin):
    """The rejection is the answer the routes wait for."""
    talk = settled(begin, BLUE)
    talk.offer(GREEN)

    assert talk.reject(CDS) == [sent(RDS, l="green")]


@pytest.mark.shows("P-089", "T-OR-21")
def test_a_rejected_cluster_does_not_hold_up_endpoints(begin):
    old = snapshot(service("a"), service("b"))
    talk = settled(begin, old, CDS, EDS)
    bad = snapshot(service("a", "bad"), service("b"), after=old)
    talk.offer(bad)
    talk.ack(EDS)
    talk.reject(CDS)

    moved = snapshot(service("a", "bad"), cluster("b"), endpoints("b", "2"), after=bad)
    assert talk.offer(moved) == [sent(EDS, b="2")]


@pytest.mark.shows("P-096", "T-OR-08")
def test_changes_during_a_push_become_one(begin):
    talk = settled(begin, BLUE)
    newest = snapshot(service("blue", "2"), web("l", "blue"), after=BLUE)
    talk.offer(newest)
    for number in range(3, 103):
        newest = snapshot(service("blue", str(number)), web("l", "blue"), after=newest)
        assert talk.offer(newest) == []

    assert talk.ack(EDS) == []
    assert talk.ack(CDS) == [sent(CDS, blue="102"), sent(EDS, blue="1")]
    assert [talk.ack(EDS), talk.ack(CDS)] == [[], []]


@pytest.mark.shows("T-OR-09")
def test_a_change_before_the_first_acks_is_neither_lost_nor_doubled(begin):
    talk = begin(BLUE)
    talk.ask(CDS)
    assert talk.offer(GREEN) == []

    assert talk.ask(EDS, "blue")[0].type is EDS
    talk.ack(EDS)
    # The stream has no routes yet that could lead to blue.
    in_delta = talk.variant == "delta"
    assert talk.ack(CDS) == [sent(CDS, green="1") if in_delta else sent(CDS, blue="1", green="1")]
    assert types(talk.ack(CDS)) == [CDS]
    assert CDS not in types(talk.ack(CDS))


@pytest.mark.shows("P-099", "T-OR-10")
def test_a_cluster_that_was_removed_and_comes_back_gets_its_endpoints_again(begin):
    old = snapshot(service("a"), service("b"))
    talk = settled(begin, old, CDS, EDS)
    without = snapshot(service("a"), after=old)
    assert talk.offer(without) == [gone(talk, "b", a="1")]
    talk.ack(CDS)
    if talk.variant == "delta":
        talk.ack(EDS)

    back = talk.offer(snapshot(service("a"), service("b"), after=without))
    assert back == [added(talk, {"a": "1"}, b="1"), sent(EDS, b="1")]


@pytest.mark.shows("T-OR-10")
def test_a_cluster_that_comes_back_before_it_was_removed_never_left(begin):
    old = snapshot(service("a"), service("b"), web("l", "a", "b"))
    talk = settled(begin, old)
    without = snapshot(service("a"), web("l", "a"), after=old)
    assert talk.offer(without) == [sent(RDS, l="a")]

    back = talk.offer(snapshot(service("a"), service("b"), web("l", "a", "b"), after=without))
    # In SotW nothing was said of its endpoints, and what is not known to be held is sent.
    assert back == ([sent(EDS, b="1")] if talk.variant == "sotw" else [])
    assert talk.ack(RDS) == [sent(RDS, l="a+b")]
    assert talk.ack(RDS) == []


@pytest.mark.shows("T-OR-12", "T-OR-18")
def test_endpoints_that_change_are_sent_alone(begin):
    talk = settled(begin, BLUE)

    changed = snapshot(cluster("blue"), endpoints("blue", "2"), web("l", "blue"), after=BLUE)
    assert talk.offer(changed) == [sent(EDS, blue="2")]


@pytest.mark.shows("P-065", "T-OR-13")
def test_a_cluster_without_instances_is_answered(begin):
    talk = begin(snapshot(cluster("a"), endpoints("a", "")))

    assert talk.ask(EDS, "a") == [sent(EDS, a="")]


@pytest.mark.shows("T-OR-14")
def test_a_shared_secret_is_sent_once_for_both_clusters(begin):
    """And not again because one of them changed."""
    old = snapshot(service("a"), service("b"), secret("shared"))
    talk = settled(begin, old, CDS, EDS, SDS)

    changed = snapshot(service("a", "2"), service("b"), secret("shared"), after=old)
    assert types(talk.offer(changed)) == [CDS, EDS]


def test_a_rotated_secret_is_sent_alone(begin):
    """Design: security changes do not drain connections."""
    old = snapshot(service("a"), web("l", "a"), secret("s"))
    talk = settled(begin, old)

    assert talk.offer(snapshot(service("a"), web("l", "a"), secret("s", "2"), after=old)) == [
        sent(SDS, s="2")
    ]


@pytest.mark.shows("T-OR-17", "T-OR-20")
def test_of_two_clusters_in_warming_one_changes(begin):
    """Both get their endpoints, the changed one again."""
    old = snapshot(service("a"), service("b"))
    talk = begin(old)
    talk.ask(CDS)
    talk.offer(snapshot(service("a", "2"), service("b"), after=old))
    assert talk.ask(EDS, "a", "b") == [sent(EDS, a="1", b="1")]
    talk.ack(EDS)

    clusters, assignments = talk.ack(CDS)
    assert clusters.resources["a"] == "2"
    assert assignments == sent(EDS, a="1")


@pytest.mark.shows("P-089", "T-OR-19")
def test_the_snapshot_moves_between_clusters_and_endpoints(begin):
    """What is asked for is answered, whatever else the snapshot holds."""
    old = snapshot(service("a"))
    talk = begin(old)
    talk.ask(CDS)
    talk.offer(snapshot(service("a"), service("x"), after=old))

    assert talk.ask(EDS, "a") == [sent(EDS, a="1")]
    assert talk.ack(CDS) == [added(talk, {"a": "1"}, x="1")]


@pytest.mark.shows("T-SW-15")
def test_a_cluster_that_is_only_removed_goes_at_once(begin):
    """Nothing is new, and no route leads there."""
    old = snapshot(service("a"), service("b"), web("l", "a"))
    talk = settled(begin, old)

    assert talk.offer(snapshot(service("a"), web("l", "a"), after=old)) == [gone(talk, "b", a="1")]


@pytest.mark.shows("P-094")
def test_a_removal_waits_for_routes_that_turn_out_to_have_nothing_to_say(begin):
    """Changed and changed back while unanswered; nobody else would remind of the removal."""
    old = snapshot(service("a"), service("b"), web("l", "a"))
    talk = settled(begin, old)
    pushed = snapshot(service("a"), service("b"), listener("l"), routes("l", "a", "b"), after=old)
    talk.offer(pushed)
    back = snapshot(service("a"), service("b"), web("l", "a"), after=pushed)
    talk.offer(back)
    without = snapshot(service("a"), listener("l"), routes("l", "a", "a"), after=back)
    assert talk.offer(without) == []
    # As it was sent, except for the cluster: what was pushed can not stay as it names b.
    assert talk.ack(RDS) == [sent(RDS, l="a+a")]

    assert talk.ack(RDS) == [gone(talk, "b", a="1")]


@pytest.mark.shows("P-094")
def test_a_removal_is_not_forgotten_when_the_routes_change_back(begin):
    old = snapshot(service("a"), service("b"), web("l", "a"))
    talk = settled(begin, old)
    pushed = snapshot(service("a"), service("b"), listener("l"), routes("l", "a", "a"), after=old)
    assert talk.offer(pushed) == [sent(RDS, l="a+a")]
    other = snapshot(service("a"), service("b"), web("l", "a"), after=pushed)
    assert talk.offer(other) == []
    without = snapshot(service("a"), listener("l"), routes("l", "a", "a"), after=other)
    assert talk.offer(without) == []

    assert talk.ack(RDS) == [gone(talk, "b", a="1")]


@pytest.mark.shows("T-SW-12")
def test_a_narrowed_list_of_clusters_does_not_keep_the_others():
    """What is left to go is only what was wanted."""
    old = snapshot(service("a"), service("b"))
    talk = SotwTalk(old)
    talk.ask(CDS, "a", "b")
    talk.ask(CDS, "a")

    assert talk.offer(snapshot(service("a", "2"), service("b"), after=old)) == [sent(CDS, a="2")]


@pytest.mark.shows("P-093")
def test_routes_wait_30_s_for_clusters_that_are_never_answered(begin):
    talk = settled(begin, BLUE)
    assert talk.machine.held_back(talk.now) is None
    talk.now = 1000.0
    assert types(talk.offer(GREEN)) == [CDS]
    talk.now += CLUSTERS_AWAITED - 1
    assert talk.outbox() == []
    assert talk.machine.held_back(talk.now) == 1.0

    talk.now += 1
    assert talk.outbox() == [sent(RDS, l="green")]
    assert talk.machine.held_back(talk.now) is None
    # The old cluster stays until the new one is answered.
    assert talk.ack(RDS) == []
    assert talk.ask(EDS, *(["green", "blue"] if talk.variant == "sotw" else ["green"])) != []
    talk.ack(EDS)
    assert talk.ack(CDS) == [gone(talk, "blue", green="1")]


@pytest.mark.shows("P-093")
def test_a_clock_that_is_set_back_holds_no_routes(begin):
    talk = settled(begin, BLUE)
    talk.now = 1000.0
    talk.offer(GREEN)
    talk.now = 10.0
    assert talk.outbox() == [sent(RDS, l="green")]


@pytest.mark.shows("P-093")
def test_clusters_that_routes_lead_to_go_before_them_whatever_is_unanswered(begin):
    talk = settled(begin, BLUE)
    talk.offer(GREEN)
    red = snapshot(service("green"), service("red"), web("l", "red"), after=GREEN)
    assert talk.offer(red) == []

    talk.now += CLUSTERS_AWAITED
    assert types(responses := talk.outbox())[0] is CDS
    assert types(responses)[-1] is RDS
    assert responses[0].resources["red"] == "1"
    assert responses[-1] == sent(RDS, l="red")
