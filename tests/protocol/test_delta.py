"""Incremental, by script."""

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

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
from tests.protocol.talk import DeltaTalk, sent

A = snapshot(secret("a"))
AB = snapshot(secret("a"), secret("b"))


def asked(snap, *names, type_url=SDS):
    """Begin a stream that has asked for names (none: everything) and acknowledged the answer."""
    talk = DeltaTalk(snap)
    talk.ask(type_url, *names)
    talk.ack(type_url)
    return talk


@pytest.mark.shows("P-070", "T-DL-01")
def test_each_subscription_is_answered_by_what_it_names():
    talk = DeltaTalk(AB)
    first = talk.ask(SDS, "a")
    second = talk.ask(SDS, "b", nonce=first[0].nonce)

    assert (first, second) == ([sent(SDS, a="1")], [sent(SDS, b="1")])
    assert first[0].versions == {"a": AB.resource(SDS, "a").version}


@pytest.mark.shows("P-071", "T-DL-02")
def test_only_what_changed_is_sent():
    old = snapshot(secret("a"), secret("b"), secret("c"))
    talk = asked(old, "a", "b", "c")

    assert talk.offer(snapshot(secret("a", "2"), secret("b"), secret("c"), after=old)) == [sent(SDS, a="2")]


@pytest.mark.shows("P-053", "P-074", "T-DL-03")
def test_a_name_that_is_not_there_is_said_to_be_missing_and_sent_when_it_comes():
    talk = DeltaTalk(A)
    assert talk.ask(SDS, "a", "b") == [sent(SDS, a="1", removed=("b",))]
    talk.ack(SDS)

    assert talk.offer(snapshot(secret("a"), secret("b"), after=A)) == [sent(SDS, b="1")]


@pytest.mark.parametrize("word", ["1", "2"])
@pytest.mark.shows("P-082", "T-DL-04", "T-DL-05")
def test_what_left_and_came_back_is_sent_again(word):
    """Even with the same content."""
    talk = asked(AB, "a", "b")
    without = snapshot(secret("a"), after=AB)
    assert talk.offer(without) == [sent(SDS, removed=("b",))]
    talk.ack(SDS)

    assert talk.offer(snapshot(secret("a"), secret("b", word), after=without)) == [sent(SDS, b=word)]


@pytest.mark.shows("T-DL-06")
def test_what_is_unsubscribed_is_not_sent():
    talk = asked(AB, "a", "b")
    assert talk.ask(SDS, drop=("b",)) == []
    changed = snapshot(secret("a"), secret("b", "2"), after=AB)
    assert talk.offer(changed) == []
    assert talk.ask(SDS, drop=("a",)) == []

    assert talk.offer(snapshot(secret("a", "2"), secret("b", "2"), after=changed)) == []


@pytest.mark.shows("P-072", "T-DL-07")
def test_a_name_subscribed_again_is_sent_again():
    talk = asked(A, "a")

    assert talk.ask(SDS, "a") == [sent(SDS, a="1")]


@pytest.mark.parametrize("held", [(), ("a",)])
@pytest.mark.shows("P-075", "T-DL-08")
def test_unsubscribing_from_what_is_not_held_is_silence(held):
    talk = DeltaTalk(A)
    talk.ask(SDS, *held)

    assert talk.ask(SDS, drop=("z",)) == []
    assert talk.ask(SDS, "a") == [sent(SDS, a="1")]


@pytest.mark.shows("P-051", "T-DL-09", "T-DL-10")
def test_a_name_dropped_beside_the_wildcard_is_sent_as_the_wildcard_has_it():
    talk = asked(snapshot(service("a")), "*", "a", "z", type_url=CDS)

    assert talk.ask(CDS, drop=("a",)) == [sent(CDS, a="1")]
    talk.ack(CDS)
    assert talk.ask(CDS, drop=("z",)) == [sent(CDS, removed=("z",))]


@pytest.mark.shows("T-DL-11")
def test_a_name_outlives_the_wildcard():
    old = snapshot(service("a"), service("b"))
    talk = asked(old, "*", "a", type_url=CDS)
    assert talk.ask(CDS, drop=("*",)) == []
    other = snapshot(service("a"), service("b", "2"), after=old)
    assert talk.offer(other) == []

    assert talk.offer(snapshot(service("a", "2"), service("b", "2"), after=other)) == [sent(CDS, a="2")]


@pytest.mark.shows("P-041", "P-050")
def test_the_wildcard_that_begins_again_sends_what_was_given_up():
    talk = asked(snapshot(service("a"), service("b")), "*", "a", type_url=CDS)
    talk.ask(CDS, drop=("*",))

    assert talk.ask(CDS, "*") == [sent(CDS, b="1")]


@pytest.mark.shows("T-DL-12")
def test_the_legacy_wildcard_outlives_a_name():
    old = snapshot(service("a"))
    talk = asked(old, type_url=CDS)
    talk.ask(CDS, "a")
    talk.ack(CDS)
    talk.ask(CDS, drop=("a",))
    talk.ack(CDS)

    assert talk.offer(snapshot(service("a"), service("b"), after=old)) == [sent(CDS, b="1")]


@pytest.mark.shows("T-DL-13")
def test_the_legacy_wildcard_that_was_ended_stays_ended():
    old = snapshot(service("a"))
    talk = asked(old, type_url=CDS)
    assert talk.ask(CDS, drop=("*",)) == []
    assert talk.ask(CDS) == []

    assert talk.offer(snapshot(service("a", "2"), after=old)) == []


@pytest.mark.shows("T-DL-14")
def test_nothing_named_later_is_no_wildcard():
    old = snapshot(service("a"))
    talk = asked(old, "a", type_url=CDS)
    talk.ask(CDS, drop=("a",))
    assert talk.ask(CDS) == []

    assert talk.offer(snapshot(service("a", "2"), service("b"), after=old)) == []


@pytest.mark.parametrize("type_url", [EDS, RDS, SDS])
@pytest.mark.shows("P-047", "T-DL-15")
def test_nothing_named_of_the_other_types_is_nothing(type_url):
    old = snapshot(service("a"), web("a", "a"), secret("a"))
    talk = DeltaTalk(old)

    assert talk.ask(type_url) == []
    assert talk.offer(snapshot(service("a"), service("b"), web("a", "b"), secret("a", "2"), after=old)) == []


@pytest.mark.parametrize("type_url", [CDS, LDS])
@pytest.mark.shows("P-080", "T-DL-16")
def test_an_empty_wildcard_is_answered(type_url):
    talk = DeltaTalk(snapshot(secret("a")))

    assert talk.ask(type_url) == [sent(type_url)]
    assert talk.ack(type_url) == []


@pytest.mark.parametrize("type_url", [CDS, EDS, SDS])
@pytest.mark.shows("P-046")
def test_a_star_is_everything_of_any_type(type_url):
    talk = DeltaTalk(snapshot(service("a"), service("b"), secret("a"), secret("b")))

    assert talk.ask(type_url, "*") == [sent(type_url, a="1", b="1")]


@pytest.mark.parametrize("nonce", ["", "1", "nonsense"])
@pytest.mark.shows("P-076", "P-077", "T-DL-17")
def test_a_subscription_counts_whatever_the_nonce(nonce):
    talk = asked(AB, "a")

    assert talk.ask(SDS, "b", nonce=nonce) == [sent(SDS, b="1")]


@pytest.mark.shows("P-077", "T-DL-18")
def test_one_request_may_acknowledge_and_subscribe():
    talk = DeltaTalk(AB)
    (first,) = talk.ask(SDS, "a")

    (second,) = talk.ask(SDS, "b", nonce=first.nonce)

    assert second == sent(SDS, b="1")
    assert list(talk.machine.types[SDS].ledger.outstanding) == [second.nonce]


@pytest.mark.shows("P-030", "P-033", "T-DL-19")
def test_what_was_rejected_is_sent_when_it_changes():
    talk = asked(A, "a")
    second = snapshot(secret("a", "2"), after=A)
    talk.offer(second)
    assert talk.reject(SDS) == []
    assert list(talk.nack.resources) == ["a"]

    assert talk.offer(snapshot(secret("a", "3"), after=second)) == [sent(SDS, a="3")]


@pytest.mark.shows("P-033", "T-DL-20")
def test_what_was_rejected_does_not_come_with_something_else():
    talk = asked(AB, "a", "b")
    second = snapshot(secret("a", "2"), secret("b"), after=AB)
    talk.offer(second)
    talk.reject(SDS)

    assert talk.offer(snapshot(secret("a", "2"), secret("b", "2"), after=second)) == [sent(SDS, b="2")]


@pytest.mark.shows("P-052", "T-DL-21")
def test_of_a_name_in_both_lists_removal_wins():
    talk = DeltaTalk(A)

    assert talk.ask(SDS, "a", drop=("a",)) == []
    assert talk.offer(snapshot(secret("a", "2"), after=A)) == []


@pytest.mark.shows("P-071", "T-DL-22")
def test_changed_and_then_gone_is_gone():
    talk = DeltaTalk(AB)
    talk.ask(SDS, "a", "b")
    changed = snapshot(secret("a", "2"), secret("b"), after=AB)
    talk.offer(changed)
    talk.offer(snapshot(secret("b"), after=changed))

    assert talk.ack(SDS) == [sent(SDS, removed=("a",))]


@pytest.mark.shows("T-DL-23")
def test_gone_and_then_back_is_a_change():
    talk = DeltaTalk(AB)
    talk.ask(SDS, "a", "b")
    without = snapshot(secret("b"), after=AB)
    talk.offer(without)
    talk.offer(snapshot(secret("a", "2"), secret("b"), after=without))

    assert talk.ack(SDS) == [sent(SDS, a="2")]


@pytest.mark.shows("T-DL-24")
def test_changed_and_changed_back_is_silence():
    talk = DeltaTalk(A)
    talk.ask(SDS, "a")
    changed = snapshot(secret("a", "2"), after=A)
    talk.offer(changed)
    talk.offer(snapshot(secret("a"), after=changed))

    assert talk.ack(SDS) == []


@pytest.mark.shows("P-034", "T-DL-25")
def test_while_an_answer_is_awaited_changes_become_one():
    talk = DeltaTalk(A)
    talk.ask(SDS, "a")
    newest = A
    for number in range(100):
        newest = snapshot(secret("a", str(number)), after=newest)
        assert talk.offer(newest) == []

    assert talk.ack(SDS) == [sent(SDS, a="99")]
    assert talk.ack(SDS) == []


@pytest.mark.parametrize("answer", [DeltaTalk.ack, DeltaTalk.reject])
@pytest.mark.shows("T-DL-26")
def test_gone_before_it_was_answered_is_said_after_the_answer(answer):
    talk = DeltaTalk(A)
    talk.ask(SDS, "a")
    assert talk.offer(snapshot(after=A)) == []

    assert answer(talk, SDS) == [sent(SDS, removed=("a",))]


@pytest.mark.shows("T-DL-29")
def test_a_removal_is_said_once():
    talk = asked(AB, "a", "b")
    without = snapshot(secret("a"), after=AB)
    assert talk.offer(without) == [sent(SDS, removed=("b",))]
    assert talk.ack(SDS) == []

    assert talk.offer(snapshot(secret("a", "2"), after=without)) == [sent(SDS, a="2")]


@pytest.mark.shows("T-DL-30")
def test_a_snapshot_with_the_same_content_is_silence():
    talk = asked(A, "a")

    assert talk.offer(snapshot(secret("a"), secret("other"), after=A)) == []


@pytest.mark.shows("T-DL-31")
def test_a_service_without_instances_has_an_empty_assignment():
    old = snapshot(service("a"))
    talk = asked(old, "a", type_url=EDS)

    assert talk.offer(snapshot(cluster("a"), endpoints("a", ""), after=old)) == [sent(EDS, a="")]


def test_a_stream_that_is_far_behind_compares_everything():
    """The snapshot remembers its last changes only."""
    talk = DeltaTalk(A)
    talk.ask(SDS, "a", "b")
    talk.ack(SDS)
    newest = A
    for number in range(100):
        newest = snapshot(secret("a"), secret("b"), secret("c", str(number)), after=newest)

    assert newest.may_differ(A) == {SDS: {"b", "c"}}
    assert talk.offer(newest) == [sent(SDS, b="1")]


@pytest.mark.shows("P-032")
def test_what_was_dropped_while_it_was_unanswered_is_not_rejected_for_ever():
    """A rejection counts for what the client still wants."""
    talk = DeltaTalk(AB)
    (first,) = talk.ask(SDS, "a", "b")
    talk.ask(SDS, drop=("a",))
    talk.ask(SDS, nonce=first.nonce, error="no good")

    assert talk.machine.types[SDS].ledger.rejected.keys() == {"b"}


@pytest.mark.shows("P-083")
def test_a_response_says_which_snapshot_it_is_of():
    later = snapshot(secret("a"), secret("b", "2"), after=AB)
    machine = DeltaTalk(later).machine
    machine.receive(DeltaDiscoveryRequest(type_url=SDS, resource_names_subscribe=["a"]), 0.0)
    (response,) = machine.outbox(0.0)

    found = DeltaDiscoveryResponse.FromString(response.payload).system_version_info
    assert found == str(later.sequence) == "2"
