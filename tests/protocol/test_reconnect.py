"""A client that comes back, from another server or from this one."""

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
from tests.protocol.talk import TALKS, DeltaTalk, Sent, SotwTalk, sent

OLD = snapshot(service("a"), service("b"), web("l", "a"), secret("s"))
SAME = snapshot(secret("s"), web("l", "a"), service("b"), service("a"))
OTHER = snapshot(service("a", "2"), service("c"), web("l", "a"), secret("s"))


def versions(snap, type_url):
    return {name: found.version for name, found in snap.sets[type_url].by_name.items()}


@pytest.mark.parametrize("type_url", [CDS, LDS])
@pytest.mark.shows("P-021", "T-RC-01")
def test_a_sotw_wildcard_at_the_present_version_is_silence(type_url):
    (before,) = SotwTalk(OLD).ask(type_url)
    talk = SotwTalk(SAME)

    assert talk.ask(type_url, version=before.version) == []
    assert talk.outbox() == []


@pytest.mark.shows("T-RC-01")
def test_a_sotw_client_that_needed_nothing_is_sent_the_next_change():
    """What it has is known from its version."""
    (before,) = SotwTalk(OLD).ask(CDS)
    talk = SotwTalk(SAME)
    talk.ask(CDS, version=before.version)
    talk.ask(EDS, "a", "b")
    talk.ack(EDS)

    changed = snapshot(service("a", "2"), service("b"), web("l", "a"), secret("s"), after=SAME)
    assert talk.offer(changed) == [sent(CDS, a="2", b="1"), sent(EDS, a="1")]


@pytest.mark.shows("P-079", "T-RC-06")
def test_a_sotw_wildcard_at_another_version_is_answered():
    (before,) = SotwTalk(OLD).ask(CDS)

    assert SotwTalk(OTHER).ask(CDS, version=before.version) == [sent(CDS, a="2", c="1")]


@pytest.mark.shows("T-RC-02")
def test_sotw_names_at_the_present_version_are_answered():
    """The version does not tell which names the client had."""
    (before,) = SotwTalk(OLD).ask(EDS, "a")

    assert SotwTalk(SAME).ask(EDS, "a", "b", version=before.version) == [sent(EDS, a="1", b="1")]


@pytest.mark.shows("T-RC-03")
def test_sotw_endpoints_before_clusters():
    """They come again behind clusters that are sent."""
    talk = SotwTalk(OLD)
    assert talk.ask(EDS, "a", "b") == [sent(EDS, a="1", b="1")]
    talk.ack(EDS)
    assert talk.ask(LDS) == [sent(LDS, l="1")]
    assert talk.ask(RDS, "l") == [sent(RDS, l="a")]

    assert talk.ask(CDS) == [sent(CDS, a="1", b="1"), sent(EDS, a="1", b="1")]


@pytest.mark.shows("T-RC-03", "T-RC-14")
def test_delta_endpoints_before_clusters():
    """The endpoints of a cluster that changed while the client was away come again."""
    talk = DeltaTalk(OTHER)
    assert talk.ask(EDS, "a", has=versions(OLD, EDS)) == []

    assert talk.ask(CDS, has=versions(OLD, CDS)) == [sent(CDS, a="2", c="1"), sent(EDS, a="1")]


@pytest.mark.shows("P-073", "T-RC-04", "T-RC-11")
def test_a_delta_client_that_has_everything_is_sent_nothing():
    """Not even a wildcard, which was answered by the stream before."""
    talk = DeltaTalk(SAME)

    assert talk.ask(CDS, has=versions(OLD, CDS)) == []
    assert talk.ask(EDS, "a", "b", has=versions(OLD, EDS)) == []
    assert talk.ask(LDS, has=versions(OLD, LDS)) == []
    assert talk.ask(RDS, "l", has=versions(OLD, RDS)) == []
    assert talk.ask(SDS, "s", has=versions(OLD, SDS)) == []


@pytest.mark.shows("P-078", "T-RC-05")
def test_what_went_while_a_delta_client_was_away_is_said():
    talk = DeltaTalk(OTHER)
    assert talk.ask(LDS, has={**versions(OLD, LDS), "old": "x"}) == [sent(LDS, removed=("old",))]
    assert talk.ask(SDS, "s", has={**versions(OLD, SDS), "lost": "x"}) == []
    talk.ask(CDS, has=versions(OLD, CDS))
    talk.ack(LDS)

    assert talk.ack(CDS) == [sent(CDS, removed=("b",))]


@pytest.mark.shows("P-094")
def test_what_went_while_a_delta_client_was_away_goes_after_the_routes_that_left_it():
    """The empty answer is what the client acknowledges after it has asked for its routes too."""
    new = snapshot(service("a"), web("l", "a"), secret("s"))
    old = snapshot(service("a"), service("b"), web("l", "a", "b"), secret("s"))
    talk = DeltaTalk(new)

    assert talk.ask(CDS, has=versions(old, CDS)) == [sent(CDS)]
    assert talk.ask(LDS, has=versions(old, LDS)) == []
    assert talk.ask(RDS, "l", has=versions(old, RDS)) == [Sent(RDS, {"l": "a"})]
    assert talk.ack(CDS) == []
    assert talk.ack(RDS) == [sent(CDS, removed=("b",))]


@pytest.mark.shows("P-079", "T-RC-06", "T-RC-08")
def test_a_version_that_is_not_known_is_answered_with_the_present_one():
    talk = DeltaTalk(OLD)

    assert talk.ask(SDS, "s", has={"s": "17"}) == [sent(SDS, s="1")]
    assert talk.ask(CDS, has={"a": "17", "b": versions(OLD, CDS)["b"]}) == [sent(CDS, a="1")]


@pytest.mark.shows("P-078", "T-RC-07")
def test_versions_in_a_later_request_mean_nothing():
    talk = DeltaTalk(OLD)
    talk.ask(SDS, "s")
    talk.ack(SDS)

    assert talk.ask(SDS, "s", has=versions(OLD, SDS)) == [sent(SDS, s="1")]
    talk.ack(SDS)
    assert talk.ask(SDS, has={"s": "17", "lost": "1"}) == []


@pytest.mark.parametrize("variant", TALKS)
@pytest.mark.shows("T-RC-09", "T-RC-16")
def test_a_nonce_of_another_stream_is_no_nonce(variant):
    talk = TALKS[variant](OLD)

    assert talk.ask(CDS, nonce="a7") == [sent(CDS, a="1", b="1")]
    assert talk.ask(EDS, "a", nonce="a8") == [sent(EDS, a="1")]
    assert talk.ask(LDS, nonce="a9") == [sent(LDS, l="1")]


@pytest.mark.parametrize("variant", TALKS)
@pytest.mark.shows("P-029", "T-RC-10")
def test_a_rejection_brought_from_another_stream_is_told_and_the_request_answered(variant):
    talk = TALKS[variant](OLD)

    assert talk.ask(CDS, error="bad cluster") == [sent(CDS, a="1", b="1")]
    assert (talk.nack.type, talk.nack.version, talk.nack.error) == (CDS, "", "bad cluster")


@pytest.mark.shows("P-032", "T-RC-10")
def test_a_sotw_client_that_brings_a_rejection_is_answered_even_at_the_present_version():
    """What it rejected may be there in part."""
    (before,) = SotwTalk(OLD).ask(CDS)

    assert SotwTalk(OLD).ask(CDS, version=before.version, error="bad") == [sent(CDS, a="1", b="1")]


@pytest.mark.shows("P-091", "T-RC-14")
def test_endpoints_of_a_cluster_that_is_sent_are_sent_whatever_the_client_says_it_has():
    talk = DeltaTalk(OTHER)
    talk.ask(CDS, has=versions(OLD, CDS))

    assert talk.ask(EDS, "a", has=versions(OLD, EDS)) == [sent(EDS, a="1")]


@pytest.mark.shows("T-RC-14")
def test_endpoints_of_a_cluster_that_is_not_sent_are_not():
    mixed = snapshot(service("a", "2"), service("b"), web("l", "a"), secret("s"))
    talk = DeltaTalk(mixed)
    talk.ask(CDS, has=versions(OLD, CDS))

    assert talk.ask(EDS, "a", "b", has=versions(OLD, EDS)) == [sent(EDS, a="1")]


@pytest.mark.shows("T-RC-05", "T-RC-15")
def test_what_went_and_is_not_subscribed_to_is_nothing_to_say():
    talk = DeltaTalk(OLD)

    assert talk.ask(SDS, "s", has={**versions(OLD, SDS), "lost": "1"}) == []
    assert talk.machine.types[SDS].ledger.sent.names == {"s"}


@pytest.mark.shows("T-RC-15")
def test_an_unsubscription_that_was_lost_stays_one():
    """Known, but not subscribed to."""
    talk = DeltaTalk(OLD)
    assert talk.ask(EDS, "a", has=versions(OLD, EDS)) == []

    changed = snapshot(cluster("a"), cluster("b"), *endpoints_of(a="2", b="2"), web("l", "a"), after=OLD)
    assert talk.offer(changed) == [sent(EDS, a="2")]


def endpoints_of(**contents):
    return [endpoints(name, word) for name, word in contents.items()]
