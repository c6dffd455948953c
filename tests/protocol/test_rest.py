import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from tests.protocol.resources import (
    CDS,
    EDS,
    LDS,
    RDS,
    cluster,
    content,
    endpoints,
    routes,
    service,
    snapshot,
    web,
)
from xds_server.model.proxy import Client
from xds_server.protocol import ProtocolError
from xds_server.protocol.limits import LIMITS
from xds_server.protocol.rest import fetch
from xds_server.translate.packing import on_demand

TWO = snapshot(service("a"), service("b"), web("web", "a"))


def ask(given, type_url, *names, version="", client=Client.ENVOY):
    """Give contents by name, and the version; None and the version where there is no answer."""
    request = DiscoveryRequest(resource_names=names, version_info=version)
    answer = fetch(given, request, type_url, client)
    if answer is None:
        return None, version
    assert answer.type_url == type_url
    found = [content(type_url, one.SerializeToString()) for one in answer.resources]
    assert len(dict(found)) == len(found)
    return dict(found), answer.version_info


@pytest.mark.shows("P-019", "P-047")
@pytest.mark.parametrize("names", [(), ("*",), ("", "*"), ("*", "a")])
def test_everything_is_answered_to_who_asks_for_everything(names):
    assert ask(TWO, CDS, *names)[0] == {"a": "1", "b": "1"}


@pytest.mark.shows("P-019")
@pytest.mark.parametrize(
    ("type_url", "name", "found"), [(CDS, "a", "1"), (EDS, "b", "1"), (LDS, "web", "1"), (RDS, "web", "a")]
)
def test_what_is_named_is_answered(type_url, name, found):
    assert ask(TWO, type_url, name)[0] == {name: found}


@pytest.mark.shows("P-047")
@pytest.mark.parametrize("type_url", [EDS, RDS])
def test_naming_nothing_of_other_types_is_nothing(type_url):
    assert ask(TWO, type_url)[0] == {}


@pytest.mark.shows("P-055")
def test_naming_nothing_is_nothing_for_a_grpc_client():
    assert ask(TWO, CDS, client=Client.GRPC)[0] == {}


@pytest.mark.shows("P-019", "T-CA-11")
@pytest.mark.parametrize(("type_url", "names"), [(CDS, ()), (CDS, ("b",)), (EDS, ("a", "b")), (RDS, ("x",))])
def test_who_has_everything_is_not_answered(type_url, names):
    _, version = ask(TWO, type_url, *names)

    assert ask(TWO, type_url, *names, version=version)[0] is None


@pytest.mark.shows("P-019", "P-021")
def test_the_version_changes_with_what_was_asked_for_and_with_nothing_else():
    after = snapshot(cluster("a"), endpoints("a", "2"), service("b"), web("web", "a"), after=TWO)
    versions = {names: ask(TWO, EDS, *names)[1] for names in [("a",), ("b",), ("a", "b")]}

    assert len(set(versions.values())) == 3
    assert ask(after, EDS, "b", version=versions["b",])[0] is None
    assert ask(after, EDS, "a", version=versions["a",])[0] == {"a": "2"}
    assert ask(after, EDS, "b", "a", version=versions["a", "b"])[0] == {"a": "2", "b": "1"}


@pytest.mark.shows("P-041")
def test_a_name_added_at_the_same_version_is_answered():
    _, version = ask(TWO, EDS, "a")

    assert ask(TWO, EDS, "a", "b", version=version)[0] == {"a": "1", "b": "1"}


@pytest.mark.shows("P-066")
def test_endpoints_that_are_not_there_are_said_to_be_none():
    assert ask(TWO, EDS, "a", "nobody")[0] == {"a": "1", "nobody": ""}


def test_other_names_that_are_not_there_are_left_out():
    assert ask(TWO, RDS, "web", "nobody")[0] == {"web": "a"}


@pytest.mark.shows("P-084")
def test_what_is_on_demand_is_answered_to_who_names_it_only():
    some = snapshot(service("a"), on_demand(cluster("b")), endpoints("b"))

    assert ask(some, CDS)[0] == {"a": "1"}
    assert ask(some, CDS, "b")[0] == {"b": "1"}


def test_what_has_gone_is_not_there_any_more():
    after = snapshot(service("b"), routes("web", "b"), after=TWO)
    _, version = ask(TWO, CDS)

    assert ask(after, CDS, version=version)[0] == {"b": "1"}


def test_a_request_for_another_type_is_refused():
    assert fetch(TWO, DiscoveryRequest(type_url=CDS), CDS, Client.ENVOY) is not None
    with pytest.raises(ProtocolError, match="but this is where Cluster is"):
        fetch(TWO, DiscoveryRequest(type_url=LDS), CDS, Client.ENVOY)


@pytest.mark.shows("P-117")
def test_too_many_names_are_refused():
    with pytest.raises(ProtocolError, match="longer than"):
        ask(TWO, EDS, "x" * (LIMITS.name_length + 1))
