"""A client that does not like what it is sent."""

import pytest

from tests.protocol.resources import CDS, EDS, SDS, secret, service, snapshot
from tests.protocol.talk import TALKS, DeltaTalk, SotwTalk, sent
from xds_server.protocol.messages import MAX_ERROR_TEXT

OLD = snapshot(service("a"), secret("s"))
NEW = snapshot(service("a", "2"), secret("s", "2"), after=OLD)


@pytest.fixture(params=TALKS)
def begin(request):
    return TALKS[request.param]


@pytest.mark.parametrize("type_url", [CDS, SDS])
@pytest.mark.shows("P-030", "T-NK-01")
def test_a_rejection_is_followed_by_silence_until_the_content_changes(begin, type_url):
    talk = begin(OLD)
    names = () if type_url is CDS else ("s",)
    talk.ask(type_url, *names)
    for _ in range(10):
        assert talk.reject(type_url) == []
        assert talk.offer(OLD) == []

    (response,) = talk.offer(NEW)
    assert set(response.resources.values()) == {"2"}
    assert [talk.reject(type_url), talk.outbox()] == [[], []]


@pytest.mark.shows("P-028", "T-NK-02")
def test_a_rejection_with_the_present_version_is_one():
    talk = SotwTalk(OLD)
    (first,) = talk.ask(CDS)

    assert talk.ask(CDS, version=first.version, error="no good") == []
    assert (talk.nack.version, list(talk.nack.resources), talk.nack.error) == (
        first.version,
        ["a"],
        "no good",
    )


@pytest.mark.shows("P-028")
def test_another_version_without_an_error_is_no_rejection():
    talk = SotwTalk(OLD)
    talk.ask(CDS)

    assert talk.ask(CDS, version="older") == []
    assert talk.nack is None
    assert not talk.machine.types[CDS].ledger.rejected


@pytest.mark.shows("P-030", "T-NK-03")
def test_a_name_that_comes_with_a_rejection_counts(begin):
    talk = begin(snapshot(secret("s"), secret("t")))
    (first,) = talk.ask(SDS, "s")
    names = ("s", "t") if talk.variant == "sotw" else ("t",)

    assert talk.ask(SDS, *names, nonce=first.nonce, error="no good") == [sent(SDS, t="1")]
    assert list(talk.nack.resources) == ["s"]


@pytest.mark.shows("T-NK-04")
def test_a_rejection_by_one_client_is_nothing_to_another(begin):
    one, other = begin(OLD), begin(OLD)
    for talk in (one, other):
        talk.ask(SDS, "s")
    one.reject(SDS)
    other.ack(SDS)

    assert [one.offer(NEW), other.offer(NEW)] == [[sent(SDS, s="2")]] * 2


@pytest.mark.shows("P-031", "T-NK-05")
def test_a_long_error_is_cut(begin):
    talk = begin(OLD)
    talk.ask(SDS, "s")
    talk.reject(SDS, "x" * 100_000)

    assert talk.nack.error == "x" * MAX_ERROR_TEXT


@pytest.mark.shows("P-033", "P-072")
def test_a_rejected_resource_that_is_asked_for_again_is_sent_again():
    talk = DeltaTalk(OLD)
    talk.ask(SDS, "s")
    talk.reject(SDS)

    assert talk.ask(SDS, "s") == [sent(SDS, s="1")]


@pytest.mark.shows("P-032")
def test_what_was_rejected_is_known_until_it_is_accepted(begin):
    talk = begin(OLD)
    talk.ask(SDS, "s")
    talk.reject(SDS)
    assert talk.machine.types[SDS].ledger.rejected.keys() == {"s"}
    talk.offer(NEW)
    talk.ack(SDS)

    assert not talk.machine.types[SDS].ledger.rejected


@pytest.mark.shows("P-035")
def test_an_answer_that_comes_late_is_waited_for(begin):
    """Nothing is ended or repeated while a client takes its time."""
    talk = begin(OLD)
    talk.ask(CDS)
    talk.ask(EDS, "a")

    assert [talk.outbox() for _ in range(5)] == [[]] * 5
    assert [talk.ack(EDS), talk.ack(CDS)] == [[], []]


@pytest.mark.shows("P-032")
def test_what_was_rejected_in_company_may_be_in_use_and_is_taken_back(begin):
    """Envoy applies what is good of a response it rejects."""
    one = snapshot(service("a"), service("b"))
    two = snapshot(service("a", "2"), service("b", "2"), after=one)
    talk = begin(one)
    talk.ask(CDS)
    talk.ack(CDS)
    talk.offer(two)
    talk.reject(CDS)

    assert talk.offer(snapshot(service("a"), service("b"), after=two)) == [sent(CDS, a="1", b="1")]
