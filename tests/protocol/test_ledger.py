"""What the status of a resource says at each step, in both variants."""

import pytest

from tests.protocol.resources import CDS, RDS, SDS, secret, service, snapshot, web
from tests.protocol.talk import TALKS, sent
from xds_server.protocol import State

ONE = snapshot(secret("a"))
TWO = snapshot(secret("a", "2"), after=ONE)


@pytest.fixture(params=["sotw", "delta"])
def talk(request):
    return TALKS[request.param](ONE)


def version(snap):
    return snap.resource(SDS, "a").version


def status(talk):
    (found,) = talk.machine.status()
    return found


@pytest.mark.shows("P-031", "T-CA-18")
def test_a_resource_is_sent_and_then_acknowledged(talk):
    talk.now = 100.0
    talk.ask(SDS, "a")
    before = status(talk)
    talk.now = 101.5
    talk.ack(SDS)
    after = status(talk)

    assert (before.state, before.sent, before.accepted) == (State.SENT, version(ONE), "")
    assert (before.sent_at, before.answered_at) == (100.0, None)
    assert (after.state, after.accepted) == (State.ACKED, version(ONE))
    assert (after.sent_at, after.answered_at) == (100.0, 101.5)


@pytest.mark.shows("P-031")
def test_what_is_rejected_says_what_is_held_instead_and_why(talk):
    talk.ask(SDS, "a")
    talk.ack(SDS)
    talk.now = 7.0
    talk.offer(TWO)
    assert (status(talk).state, status(talk).accepted) == (State.SENT, version(ONE))
    talk.now = 8.0
    talk.reject(SDS, "no good")
    found = status(talk)

    assert (found.state, found.error) == (State.NACKED, "no good")
    assert (found.sent, found.accepted, found.rejected) == (version(TWO), version(ONE), version(TWO))
    assert (found.sent_at, found.answered_at) == (7.0, 8.0)


def test_what_is_accepted_after_a_rejection_is_forgiven(talk):
    talk.ask(SDS, "a")
    talk.reject(SDS)
    talk.offer(TWO)
    talk.ack(SDS)
    found = status(talk)

    assert (found.state, found.accepted, found.rejected, found.error) == (State.ACKED, version(TWO), "", "")


def test_a_name_that_does_not_exist_has_no_status(talk):
    talk.ask(SDS, "zz")

    assert list(talk.machine.status()) == []


def test_what_waits_its_turn_was_not_sent():
    talk = TALKS["delta"](ONE)
    talk.ask(SDS, "*")
    talk.machine.offer(snapshot(secret("a"), secret("b"), after=ONE))

    assert {one.name: one.state for one in talk.machine.status()} == {"a": State.SENT, "b": State.NOT_SENT}


@pytest.mark.shows("P-025", "P-031")
def test_the_answer_to_an_older_response_is_noted_without_being_a_request():
    shop = snapshot(service("blue"), web("web", "blue"))
    talk = TALKS["sotw"](shop)
    first = talk.ask(CDS)[0].nonce
    talk.offer(snapshot(service("blue"), service("green"), web("web", "green"), after=shop))
    # The answer to the question for routes sends what they lead to, unacknowledged as the first is.
    assert talk.ask(RDS, "web") == [sent(CDS, blue="1", green="1"), sent(RDS, web="green")]
    assert talk.ask(CDS, "blue", nonce=first, error="late") == []

    assert (talk.nack.error, list(talk.nack.resources)) == ("late", ["blue"])
    assert talk.machine.types[CDS].subscription.wildcard
    talk.names[CDS] = ()
    talk.ack(CDS)
    assert {one.name: one.state for one in talk.machine.status() if one.type is CDS} == {
        "blue": State.ACKED,
        "green": State.ACKED,
    }
