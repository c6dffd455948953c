"""What a client may ask for, and what it gets for asking more."""

import pytest

from tests.protocol.resources import CDS, EDS, SDS, secret, snapshot
from tests.protocol.talk import TALKS
from xds_server.protocol import ProtocolError
from xds_server.protocol.limits import LIMITS, Limits, check_claims, check_names, check_node
from xds_server.protocol.messages import ForeignNodeError, TooMuchError
from xds_server.protocol.names import shared

A = snapshot(secret("a"))


@pytest.fixture(params=["sotw", "delta"])
def talk(request):
    return TALKS[request.param](A)


@pytest.mark.shows("P-117", "T-LM-04")
def test_as_many_names_as_any_proxy_has_are_served(talk):
    names = [f"service-{number}" for number in range(10_000)]

    assert len(talk.ask(EDS, *names)) == 1


@pytest.mark.shows("P-117", "T-LM-04")
def test_a_name_that_is_too_long_ends_the_stream(talk):
    with pytest.raises(ProtocolError, match="a name of Secret is longer than 2048 characters"):
        talk.ask(SDS, "x" * (LIMITS.name_length + 1))


@pytest.mark.shows("P-117")
@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"a", "b", "c", "d"}, "more than 3 names"),
        ({"abcde", "abcdf", "abcdg"}, "more than 12 characters together"),
        ({"abcdefghijk"}, "longer than 10 characters"),
    ],
)
def test_each_limit_has_its_sentence(names, sentence):
    limits = Limits(names=3, name_length=10, characters=12)
    check_names("Secret", shared({"abcdefgh"}), limits)

    with pytest.raises(ProtocolError, match=sentence):
        check_names("Secret", shared(names), limits)


@pytest.mark.shows("P-011", "P-117", "T-ST-12", "T-ST-13")
def test_types_that_are_not_served_leave_nothing_behind(talk):
    for number in range(100):
        talk.ask(f"type.googleapis.com/no.such.Type{number}", "x")
    talk.ask(CDS)

    assert list(talk.machine.types) == [CDS]


@pytest.mark.shows("P-011")
def test_delta_says_at_once_that_there_is_nothing_of_an_unknown_type():
    talk = TALKS["delta"](A)
    (named,) = talk.ask("no.such.Type", "x", "y")
    assert (named.resources, named.removed) == ({}, ("x", "y"))
    assert talk.ask("no.such.Type", nonce=named.nonce) == []

    (everything,) = talk.ask("no.other.Type")
    assert (everything.resources, everything.removed) == ({}, ())


@pytest.mark.shows("P-117")
def test_what_a_client_says_it_has_is_bounded_too():
    limits = Limits(names=2, name_length=10)
    check_claims({"a": "1", "b": "2"}, limits)
    for versions, sentence in (
        ({"a": "1", "b": "1", "c": "1"}, "more than 2 initial_resource_versions"),
        ({"abcdefghijk": "1"}, "longer than 10 characters"),
    ):
        with pytest.raises(TooMuchError, match=sentence):
            check_claims(versions, limits)


@pytest.mark.shows("P-125")
def test_a_node_that_changes_its_id_is_refused():
    for same in ("", "edge-1"):
        check_node(same, "edge-1")

    with pytest.raises(ForeignNodeError, match="not that of the first request"):
        check_node("edge-2", "edge-1")
