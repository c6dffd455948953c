"""A stream that is for one type, and what only gRPC clients are told."""

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse

from tests.protocol.resources import CDS, ECDS, EDS, LDS, RDS, extension, secret, service, snapshot, web
from tests.protocol.talk import TALKS, DeltaTalk, SotwTalk, sent
from xds_server.model.proxy import Client
from xds_server.protocol import ProtocolError

SHOP = snapshot(service("user"), web("web", "user"), secret("a"), extension("authz"))


@pytest.fixture(params=["sotw", "delta"])
def variant(request):
    return request.param


@pytest.mark.shows("P-002", "P-003")
def test_the_method_says_the_type(variant):
    talk = TALKS[variant](SHOP, only=CDS)

    assert talk.ask("") == [sent(CDS, user="1")]


@pytest.mark.shows("P-003", "T-ST-14")
def test_another_type_on_a_stream_for_one_ends_it(variant):
    talk = TALKS[variant](SHOP, only=CDS)

    with pytest.raises(ProtocolError, match="this stream is for Cluster only"):
        talk.ask(LDS)


@pytest.mark.shows("P-002")
def test_routes_alone_wait_for_nothing(variant):
    talk = TALKS[variant](SHOP, only=RDS)
    talk.ask(RDS, "web")
    talk.ack(RDS)

    other = snapshot(service("user"), service("order"), web("web", "order"), after=SHOP)
    assert talk.offer(other) == [sent(RDS, web="order")]


# --- gRPC ------------------------------------------------------------------------------------------------


@pytest.mark.shows("P-055", "P-147")
def test_a_grpc_client_that_names_nothing_wants_nothing(variant):
    talk = TALKS[variant](SHOP, Client.GRPC)

    assert talk.ask(LDS) == []
    assert talk.ask(CDS) == []


@pytest.mark.shows("P-105")
def test_a_grpc_client_is_told_once_what_does_not_exist():
    talk = SotwTalk(SHOP, Client.GRPC)
    errors = []
    parse = talk._parse

    def note(response):
        message = DiscoveryResponse.FromString(response.payload)
        errors.extend((one.resource_name.name, one.error_detail.code) for one in message.resource_errors)
        return parse(response)

    talk._parse = note
    assert talk.ask(LDS, "web", "nope") == [sent(LDS, web="1")]
    assert talk.ask(RDS, "nope") == [sent(RDS)]
    assert errors == [("nope", 5), ("nope", 5)]
    assert talk.ack(LDS) == []
    # Endpoints need no error: they are answered by an empty assignment.
    talk.ask(EDS, "nope")
    assert len(errors) == 2


@pytest.mark.shows("P-105")
def test_an_envoy_is_not():
    assert SotwTalk(SHOP).ask(RDS, "nope") == []


# --- extensions ------------------------------------------------------------------------------------------


@pytest.mark.shows("P-086")
def test_an_extension_leaves_after_the_listeners_that_used_it():
    talk = DeltaTalk(SHOP)
    for type_url, names in ((LDS, ()), (ECDS, ("authz",))):
        talk.ask(type_url, *names)
        talk.ack(type_url)
    without = snapshot(service("user"), (web("web", "user")[1],), after=SHOP)
    assert talk.offer(without) == [sent(LDS, removed=("web",))]

    assert talk.ack(LDS) == [sent(ECDS, removed=("authz",))]
