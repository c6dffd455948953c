"""What is at fault for a rejection is not sent again; what was in its company goes out once more."""

import pytest

from tests.protocol.resources import CDS, cluster, endpoints, service, snapshot
from tests.protocol.talk import TALKS, sent
from xds_server.protocol.blame import named_by

BOTH = snapshot(service("bad"), service("good"))
ENVOY = 'Proto constraint validation failed (ClusterValidationError.ConnectTimeout): name: "bad" type: EDS'


@pytest.fixture(params=["sotw", "delta"])
def begin(request):
    return TALKS[request.param]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ENVOY, {"bad"}),
        ("Error adding/updating cluster(s) bad: no such thing, user-api: neither", {"bad", "user-api"}),
        ("errors parsing CDS response: resource 0: user: no", {"user"}),
        ("web:on-demand/user.service.consul is odd", {"web:on-demand/user.service.consul"}),
        ("badly done, user-apis", set()),
        ("", set()),
    ],
)
@pytest.mark.shows("P-031")
def test_names_are_whole_words_of_a_text(text, names):
    assert named_by(text, ["bad", "user", "user-api", "web:on-demand/user.service.consul"]) == names


@pytest.mark.shows("P-030", "P-032", "T-OR-21")
def test_what_is_not_at_fault_goes_out_once_more_without_what_is(begin):
    talk = begin(BOTH)
    talk.ask(CDS)

    assert talk.reject(CDS, ENVOY) == [sent(CDS, good="1")]
    assert talk.ack(CDS) == []
    assert talk.answer is not None
    assert not talk.answer.rejected


@pytest.mark.shows("P-030", "T-NK-01")
def test_a_client_that_rejects_everything_is_soon_left_alone(begin):
    talk = begin(BOTH)
    talk.ask(CDS)
    assert talk.reject(CDS, "bad and good") == []

    talk = begin(BOTH)
    talk.ask(CDS)
    assert len(talk.reject(CDS, "bad")) == 1
    assert talk.reject(CDS, "good") in ([], [sent(CDS)])


@pytest.mark.shows("P-030", "P-031", "T-NK-01")
def test_a_text_that_names_nothing_is_followed_by_silence(begin):
    talk = begin(BOTH)
    talk.ask(CDS)

    assert talk.reject(CDS, "something is wrong") == []


@pytest.mark.shows("P-030")
def test_what_was_at_fault_is_sent_when_it_is_mended(begin):
    talk = begin(BOTH)
    talk.ask(CDS)
    talk.reject(CDS, ENVOY)
    talk.ack(CDS)
    mended = snapshot(cluster("bad", "2"), endpoints("bad"), service("good"), after=BOTH)
    expected = {"bad": "2"} if talk.variant == "delta" else {"bad": "2", "good": "1"}

    assert talk.offer(mended) == [sent(CDS, **expected)]


@pytest.mark.shows("P-032", "P-061")
def test_state_of_the_world_never_takes_away_what_a_client_may_have():
    talk = TALKS["sotw"](BOTH)
    talk.ask(CDS)
    talk.ack(CDS)
    worse = snapshot(cluster("bad", "2"), endpoints("bad"), service("good"), service("new"), after=BOTH)
    assert talk.offer(worse) == [sent(CDS, bad="2", good="1", new="1")]

    # It accepted an older version of it; to leave it out would remove that.
    assert talk.reject(CDS, ENVOY) == []
