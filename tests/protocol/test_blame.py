"""What is at fault is not sent again; what was in its company goes out once more."""

import pytest

from tests.protocol.resources import (
    CDS,
    EDS,
    LDS,
    RDS,
    SDS,
    cluster,
    endpoints,
    routes,
    secret,
    service,
    snapshot,
    web,
)
from tests.protocol.talk import sent, talking
from xds_server.protocol.blame import named_by
from xds_server.protocol.ledger import State
from xds_server.runtime.kind import Kind
from xds_server.translate.stand_ins import WITHHELD

BOTH = snapshot(service("bad"), service("good"))
ENVOY = 'Proto constraint validation failed (ClusterValidationError.ConnectTimeout): name: "bad" type: EDS'
VAGUE = "something is wrong"


def kind_of(snap):
    kind = Kind()
    kind.publish(snap)
    return kind


@pytest.fixture(params=["sotw", "delta"])
def variant(request):
    return request.param


@pytest.fixture
def begin(variant):
    return lambda snap: talking(variant, kind_of(snap))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ENVOY, {"bad"}),
        ("Error adding/updating cluster(s) bad: no such thing, user-api: neither", {"bad", "user-api"}),
        ("errors parsing CDS response: resource 0: user: no", {"user"}),
        ("web:on-demand/user.service.consul is odd", {"web:on-demand/user.service.consul"}),
        ("cluster user-api@v2: no", {"user-api@v2"}),
        ("badly done, user-apis", set()),
        ("", set()),
    ],
)
@pytest.mark.shows("P-031")
def test_names_are_whole_words_of_a_text(text, names):
    suspects = ["bad", "user", "user-api", "user-api@v2", "web:on-demand/user.service.consul"]
    assert named_by(text, suspects) == names


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
def test_after_a_text_that_names_nothing_each_goes_alone(begin):
    talk = begin(BOTH)
    talk.ask(CDS)

    assert talk.reject(CDS, VAGUE) == [sent(CDS, bad="1")]
    assert talk.reject(CDS, VAGUE) == [sent(CDS, good="1")]
    assert talk.ack(CDS) == []
    assert talk.machine.types[CDS].ledger.status(CDS, "bad").state is State.NACKED


@pytest.mark.parametrize("type_url", [CDS, EDS, SDS])
@pytest.mark.shows("P-030", "T-OR-21")
def test_one_in_thirty_is_found_by_halving(variant, type_url):
    names = [f"s{number:02}" for number in range(30)]

    def made(name, word="1"):
        return secret(name, word) if type_url is SDS else (cluster(name, word), endpoints(name, word))

    old = snapshot(*(made(name) for name in names))
    kind = kind_of(old)
    talk = talking(variant, kind)
    talk.ask(type_url, *(() if type_url is CDS else names))
    talk.ack(type_url)
    new = snapshot(*(made(name, "2") for name in names), after=old)
    kind.publish(new)

    responses, count = talk.follow(), 0
    while responses:
        count += 1
        (response,) = responses
        refused = response.resources.get("s17") == "2"
        responses = talk.reject(type_url, VAGUE) if refused else talk.ack(type_url)
    assert count <= 13
    ledger = talk.machine.types[type_url].ledger
    for name in names:
        good, bad = (old if name == "s17" else new).resource(type_url, name), new.resource(type_url, name)
        assert ledger.holds(name, good.version)
        status = ledger.status(type_url, name)
        assert status.accepted == good.version
        if name == "s17" and (variant == "delta" or type_url is not CDS):
            assert (status.state, status.rejected, status.error) == (State.NACKED, bad.version, VAGUE)


@pytest.mark.shows("P-030")
def test_what_was_at_fault_is_sent_when_it_is_mended(variant):
    kind = kind_of(BOTH)
    talk = talking(variant, kind)
    talk.ask(CDS)
    talk.reject(CDS, ENVOY)
    talk.ack(CDS)
    kind.publish(snapshot(cluster("bad", "2"), endpoints("bad"), service("good"), after=BOTH))
    expected = {"bad": "2"} if variant == "delta" else {"bad": "2", "good": "1"}

    assert talk.follow() == [sent(CDS, **expected)]


@pytest.mark.shows("P-030", "P-032")
def test_what_was_taken_back_in_bad_company_may_be_in_use_still(variant):
    """A client that applies nothing of the second response it rejects has what was good of the first."""
    old = snapshot(secret("a"), secret("b"))
    kind = kind_of(old)
    talk = talking(variant, kind)
    talk.ask(SDS, "a", "b")
    talk.ack(SDS)
    new = snapshot(secret("a", "2"), secret("b", "2"), after=old)
    kind.publish(new)
    talk.follow()
    assert talk.reject(SDS, VAGUE) == [sent(SDS, a="2", b="1")]
    kind.publish(snapshot(secret("a", "3"), secret("b"), after=new))
    talk.follow()

    assert talk.reject(SDS, VAGUE) == [sent(SDS, a="3", b="1")]


@pytest.mark.shows("P-032", "P-061")
def test_state_of_the_world_never_takes_away_what_a_client_has():
    kind = kind_of(BOTH)
    talk = talking("sotw", kind)
    talk.ask(CDS)
    talk.ack(CDS)
    worse = snapshot(cluster("bad", "2"), endpoints("bad"), service("good"), service("new"), after=BOTH)
    kind.publish(worse)
    assert talk.follow() == [sent(CDS, bad="2", good="1", new="1")]

    assert talk.reject(CDS, ENVOY) == [sent(CDS, bad="1", good="1", new="1")]


@pytest.mark.shows("P-032", "P-061")
def test_nothing_takes_the_place_of_a_version_that_is_not_known_here(variant):
    """The client had it from a server before this one, and uses it."""
    kind = kind_of(BOTH)
    talk = talking(variant, kind)
    if variant == "delta":
        assert talk.ask(CDS, has={"bad": "of old"}) == [sent(CDS, bad="1", good="1")]
    else:
        assert talk.ask(CDS, version="of old") == [sent(CDS, bad="1", good="1")]

    expected = [sent(CDS, good="1")] if variant == "delta" else []
    assert talk.reject(CDS, ENVOY) == expected


@pytest.mark.shows("P-030", "T-NK-04")
def test_a_stream_may_not_want_what_is_to_be_tried_again():
    kind = kind_of(snapshot(*(service(name) for name in "abcd"), web("web", "a")))
    talk = talking("delta", kind)
    talk.ask(EDS, "a", "b", "c", "d")
    nonce = talk.latest[EDS]
    assert talk.ask(EDS, drop=("a", "b"), nonce=nonce, error=VAGUE) == [sent(EDS, c="1")]
    assert talk.ack(EDS) == [sent(EDS, d="1")]
    assert talk.ack(EDS) == []
    assert talk.ask(RDS, "web") == [sent(RDS, web="a")]


@pytest.mark.shows("P-030", "P-061")
def test_what_was_rejected_does_not_come_back_as_it_leaves():
    """State of the world keeps what left until the routes are settled: as the client has it."""
    old = snapshot(service("a"), web("web", "a"))
    kind = Kind()
    kind.publish(old)
    talk = talking("sotw", kind)
    for type_url, names in ((CDS, ()), (EDS, ("a",)), (LDS, ()), (RDS, ("web",))):
        talk.ask(type_url, *names)
        talk.ack(type_url)
    worse = snapshot(service("a", "2"), web("web", "a"), after=old)
    kind.publish(worse)
    assert [one.resources for one in talk.follow() if one.type is CDS] == [{"a": "2"}]
    talk.reject(CDS, "a")
    kind.publish(snapshot(service("b"), web("web", "b"), after=worse))

    assert talk.follow()[0] == sent(CDS, a="1", b="1")


@pytest.mark.shows("P-030", "P-037")
def test_what_is_on_its_way_is_not_sent_once_more():
    """While the rest of a rejected response goes out alone, something else is rejected."""
    old = snapshot(secret("a"), secret("b"), secret("c"))
    kind = kind_of(old)
    talk = talking("delta", kind)
    talk.ask(SDS, "a", "b", "c")
    talk.ack(SDS)
    new = snapshot(secret("a", "2"), secret("b"), secret("c", "2"), after=old)
    kind.publish(new)
    talk.follow()
    assert talk.reject(SDS, "a") == [sent(SDS, a="1", c="2")]
    kind.publish(snapshot(secret("a", "2"), secret("b", "2"), secret("c", "2"), after=new))
    assert talk.follow() == []
    assert talk.ask(SDS, "b") == [sent(SDS, b="2")]

    assert talk.reject(SDS, "b") == []


@pytest.mark.shows("P-030", "P-032")
def test_what_comes_beside_what_changes_meanwhile_goes_out_once_more(variant):
    """It may be the old version of the other that was rejected."""
    old = snapshot(secret("a"), secret("b"))
    kind = kind_of(old)
    talk = talking(variant, kind)
    talk.ask(SDS, "a", "b")
    talk.ack(SDS)
    new = snapshot(secret("a", "2"), secret("b", "2"), after=old)
    kind.publish(new)
    talk.follow()
    kind.publish(snapshot(secret("a", "2"), secret("b", "3"), after=new))

    assert talk.reject(SDS, VAGUE) == [sent(SDS, a="2", b="3")]


@pytest.mark.shows("P-030", "P-032")
def test_what_comes_beside_what_was_sent_anew_meanwhile_is_not_to_blame():
    old = snapshot(secret("a"), secret("b"))
    kind = kind_of(old)
    talk = talking("delta", kind)
    talk.ask(SDS, "a", "b")
    talk.ack(SDS)
    new = snapshot(secret("a", "2"), secret("b", "2"), after=old)
    kind.publish(new)
    (both,) = talk.follow()
    kind.publish(snapshot(secret("a", "2"), secret("b", "3"), after=new))
    talk.follow()
    assert talk.ask(SDS, "b") == [sent(SDS, b="3")]

    assert talk.ask(SDS, nonce=both.nonce, error=VAGUE) == [sent(SDS, a="2")]


@pytest.mark.shows("P-032", "P-061")
def test_what_came_in_bad_company_is_taken_away_when_it_leaves():
    """Envoy applies what is good of a response it rejects, so the next list must go out without it."""
    old = snapshot(web("x"))
    kind = kind_of(old)
    talk = talking("sotw", kind)
    talk.ask(LDS)
    talk.ack(LDS)
    new = snapshot(web("x"), web("y"), web("bad"), after=old)
    kind.publish(new)
    assert talk.follow() == [sent(LDS, x="1", y="1", bad="1")]
    kind.publish(snapshot(web("x"), web("bad"), after=new))

    assert talk.reject(LDS, "bad") == [sent(LDS, x="1")]


@pytest.mark.shows("P-032", "T-OR-21")
def test_what_others_accepted_last_stays_in_the_list_beside_what_is_bad():
    """A newcomer is served it in place of what others rejected, and rejects something else."""
    old = snapshot(service("a"), service("b"))
    kind = kind_of(old)
    other = talking("sotw", kind, "edge-2")
    other.ask(CDS)
    other.ack(CDS)
    new = snapshot(service("a", "2"), service("b"), after=old)
    kind.publish(new)
    other.follow()
    other.reject(CDS, "a")
    kind.publish(snapshot(service("a", "2"), service("b"), service("bad"), after=new))
    talk = talking("sotw", kind)
    assert talk.ask(CDS) == [sent(CDS, a="1", b="1", bad="1")]

    assert talk.reject(CDS, "bad") == [sent(CDS, a="1", b="1")]


@pytest.mark.shows("P-032", "T-OR-21")
def test_what_stands_in_for_what_others_rejected_stays_in_the_list_beside_what_is_bad():
    old = snapshot(service("b"))
    kind = kind_of(old)
    other = talking("sotw", kind, "edge-2")
    other.ask(CDS)
    other.ack(CDS)
    new = snapshot(service("a"), service("b"), after=old)
    kind.publish(new)
    other.follow()
    other.reject(CDS, "a")
    kind.publish(snapshot(service("a"), service("b"), service("bad"), after=new))
    talk = talking("sotw", kind)
    assert talk.ask(CDS) == [sent(CDS, a=WITHHELD, b="1", bad="1")]

    assert talk.reject(CDS, "bad") == [sent(CDS, a=WITHHELD, b="1")]


@pytest.mark.shows("P-030", "P-032", "T-NK-01")
def test_a_list_that_has_to_hold_what_is_bad_is_not_sent_once_more():
    """Envoy answers the newest of two lists, and may use what only the first one held."""
    leading = routes("x", "b")
    old = snapshot(service("a"), service("b"), leading)
    kind = kind_of(old)
    talk = talking("sotw", kind)
    talk.ask(CDS)
    kind.publish(snapshot(service("a", "2"), service("b"), leading, after=old))
    assert talk.follow() == []
    assert talk.ask(RDS, "x") == [sent(CDS, a="2", b="1"), sent(RDS, x="b")]

    assert talk.reject(CDS, "a") == []


@pytest.mark.shows("P-020")
def test_a_list_with_something_in_place_of_something_else_has_a_version_of_its_own():
    """It leaves out what the client rejected, and holds what routes lead to still: as many as there are."""
    old = snapshot(service("bad"), service("a"), routes("x", "a"))
    kind = kind_of(old)
    talk = talking("sotw", kind)
    talk.ask(CDS)
    talk.reject(CDS, "bad")
    talk.ack(CDS)
    talk.ask(RDS, "x")
    talk.ack(RDS)
    kind.publish(snapshot(service("bad"), service("b"), routes("x", "b"), after=old))

    (response,) = talk.follow()
    assert response == sent(CDS, a="1", b="1")
    assert response.version != talk.machine.snapshot.sets[CDS].version


@pytest.mark.shows("P-032", "P-065")
def test_endpoints_that_become_what_stood_in_for_them_are_sent(variant):
    """The client was not sent what stood in for those it rejected."""
    old = snapshot(service("a"))
    kind = kind_of(old)
    talk = talking(variant, kind)
    talk.ask(EDS, "a")
    assert talk.reject(EDS) == []
    kind.publish(snapshot(cluster("a"), endpoints("a", ""), after=old))

    assert talk.follow() == [sent(EDS, a="")]
