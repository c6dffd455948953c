"""A client that moves to another server built from the same catalog, or from one that is a little older."""

import pytest

from tests.protocol.resources import CDS, EDS, LDS, RDS, service, snapshot, web
from tests.protocol.talk import TALKS, DeltaTalk, SotwTalk, sent

OLD = snapshot(service("a"), web("l", "a"))
NEW = snapshot(service("a", "2"), service("b"), web("l", "b"), after=OLD)
# The same content from another server's history: no object and no sequence number in common.
OTHER_OLD = snapshot(web("l", "a"), service("a"))
OTHER_NEW = snapshot(service("a", "2"), service("b"), web("l", "b"), after=OTHER_OLD)


def versions(snap, type_url):
    return {name: found.version for name, found in snap.sets[type_url].by_name.items()}


@pytest.mark.shows("P-021", "T-RC-11")
@pytest.mark.parametrize("type_url", [CDS, EDS, LDS, RDS])
def test_two_servers_with_one_history_or_two_give_the_same_versions(type_url):
    straight = snapshot(service("b"), web("l", "b"), service("a", "2"))

    assert versions(straight, type_url) == versions(NEW, type_url) == versions(OTHER_NEW, type_url)
    assert straight.sets[type_url].version == NEW.sets[type_url].version
    assert straight.sequence != NEW.sequence


@pytest.mark.shows("T-RC-12")
def test_a_delta_client_is_sent_back_by_a_server_that_lags_and_forward_when_it_catches_up():
    """What a server knows is what it serves: the order is kept on the way back, too."""
    talk = DeltaTalk(OTHER_OLD)
    assert talk.ask(CDS, has=versions(NEW, CDS)) == [sent(CDS, a="1")]
    assert talk.ask(EDS, "a", "b", has=versions(NEW, EDS)) == [sent(EDS, a="1")]
    assert talk.ask(LDS, has=versions(NEW, LDS)) == []
    assert talk.ask(RDS, "l", has=versions(NEW, RDS)) == [sent(RDS, l="a")]
    assert [talk.ack(CDS), talk.ack(EDS)] == [[], []]
    # The route left first.
    assert talk.ack(RDS) == [sent(CDS, removed=("b",))]
    assert talk.ack(CDS) == [sent(EDS, removed=("b",))]
    assert talk.ack(EDS) == []

    assert talk.offer(OTHER_NEW) == [sent(CDS, a="2", b="1"), sent(EDS, a="1", b="1")]
    assert talk.ack(EDS) == []
    assert talk.ack(CDS) == [sent(RDS, l="b")]
    assert talk.ack(RDS) == []


@pytest.mark.shows("T-RC-12")
def test_a_sotw_client_is_sent_back_by_a_server_that_lags_and_forward_when_it_catches_up():
    first = SotwTalk(NEW)
    has = {type_url: first.ask(type_url)[0].version for type_url in (CDS, LDS)}
    talk = SotwTalk(OTHER_OLD)
    assert talk.ask(CDS, version=has[CDS]) == [sent(CDS, a="1")]
    assert talk.ask(EDS, "a") == [sent(EDS, a="1")]
    assert talk.ask(LDS, version=has[LDS]) == []
    assert talk.ask(RDS, "l") == [sent(RDS, l="a")]
    assert [talk.ack(type_url) for type_url in (CDS, EDS, RDS)] == [[], [], []]

    assert talk.offer(OTHER_NEW) == [sent(CDS, a="2", b="1"), sent(EDS, a="1")]
    assert talk.ask(EDS, "a", "b") == [sent(EDS, b="1")]
    assert talk.ack(EDS) == []
    assert talk.ack(CDS) == [sent(RDS, l="b")]
    assert talk.ack(RDS) == []


@pytest.mark.shows("P-024")
@pytest.mark.parametrize("variant", TALKS)
def test_an_ack_that_overtakes_its_response_is_one(variant):
    """The machine has noted what it hands out, though the transport has not written it yet."""
    talk = TALKS[variant](OLD)
    (first,) = talk.ask(CDS)
    talk.machine.offer(snapshot(service("a", "2"), web("l", "a"), after=OLD))
    assert talk.ack(CDS) == [sent(CDS, a="2")]

    assert list(talk.machine.types[CDS].ledger.outstanding) == [talk.latest[CDS]]
    assert talk.latest[CDS] != first.nonce
