"""However a request is read, it says the same."""

import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.resources import EDS
from xds_server.protocol.limits import LIMITS
from xds_server.protocol.messages import TooMuchError
from xds_server.protocol.reading import Request, read

MANY = [f"service-{number:04}" for number in range(500)]
EDGE, OTHER = Node(id="edge-1", cluster="edge"), Node(id="edge-2", cluster="edge")
NO = Status(code=13, message="no")
_LISTS = ("resource_names", "resource_names_subscribe", "resource_names_unsubscribe")
_FIELDS = ("type_url", "response_nonce", "version_info", "initial_resource_versions")


def sotw(**fields):
    return DiscoveryRequest(**{"type_url": EDS, "resource_names": MANY} | fields).SerializeToString()


def delta(**fields):
    return DeltaDiscoveryRequest(**{"type_url": EDS} | fields).SerializeToString()


def says_the_same(request_class, payload):
    plain = request_class.FromString(payload)
    has = {*plain.DESCRIPTOR.fields_by_name}
    for _ in range(2):
        node, found = read(request_class, payload)
        assert (node if node is not None else Node()) == plain.node
        for field in has & {*_LISTS}:
            assert set(getattr(found, field)) == set(getattr(plain, field))
        for field in has & {*_FIELDS}:
            assert getattr(found, field) == getattr(plain, field)
        assert found.HasField("error_detail") == plain.HasField("error_detail")
        if plain.HasField("error_detail"):
            assert found.error_detail == plain.error_detail


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(sotw(), id="names"),
        pytest.param(sotw(error_detail=NO), id="a rejection"),
        pytest.param(sotw(node=EDGE, error_detail=NO), id="a rejection with a node"),
        pytest.param(sotw(node=EDGE), id="a node"),
        pytest.param(sotw(node=EDGE, version_info="v" * 200), id="a version and a node"),
        pytest.param(sotw() + sotw(response_nonce="9", node=EDGE), id="everything twice"),
        pytest.param(sotw(node=EDGE) + sotw(node=Node(cluster="x")), id="a node in two pieces"),
        pytest.param(sotw(node=Node()), id="an empty node"),
        pytest.param(b"\x2a\x01n" + sotw(node=EDGE), id="fields out of order"),
        pytest.param(sotw() + b"\xba\x3e\x01z", id="a field that is not known"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_request_says_what_it_says(payload):
    says_the_same(DiscoveryRequest, payload)


@pytest.mark.parametrize(
    "fields",
    [
        {"response_nonce": "7.1"},
        {"node": EDGE},
        {"node": EDGE, "initial_resource_versions": {"user": "1", "room": "2"}},
        {"error_detail": NO},
        {"resource_names_subscribe": ["user"], "resource_names_unsubscribe": ["room"]},
    ],
    ids=" ".join,
)
def test_a_delta_request_says_what_it_says(fields):
    says_the_same(DeltaDiscoveryRequest, delta(**fields))


_PIECES = st.lists(
    st.sampled_from(
        [
            b"\x2a\x01n",
            b"\x0a\x01v",
            b"\x12\x03\x0a\x01i",
            b"\x12\x03\x0a\x01j",
            b"\x1a\x01y",
            b"\x32\x02\x08\x0d",
        ]
    )
)


@settings(max_examples=60, deadline=None)
@given(_PIECES, _PIECES)
def test_whatever_stands_before_and_after_the_names(before, after):
    says_the_same(DiscoveryRequest, b"".join((*before, sotw(), *after)))


@pytest.mark.parametrize(
    "payload", [sotw()[:-3], b"\x0a\xff\xff" + sotw(), sotw() + b"\x0a\x7f", b"\x1a" * 3000, b"\x12\x7f\x0a"]
)
def test_what_is_no_request_is_refused(payload):
    with pytest.raises(DecodeError):
        read(DiscoveryRequest, payload)


@pytest.mark.parametrize(
    ("request_class", "fields"),
    [
        (DiscoveryRequest, {"resource_names": MANY, "version_info": "v"}),
        (DeltaDiscoveryRequest, {"resource_names_subscribe": MANY, "initial_resource_versions": {"a": "1"}}),
        (DeltaDiscoveryRequest, {"response_nonce": "7.1"}),
    ],
    ids=["sotw", "delta", "acknowledgement"],
)
def test_a_request_is_read_once_for_all_who_send_it(request_class, fields):
    plain = request_class(type_url=EDS, **fields).SerializeToString()
    _, first = read(request_class, plain)
    assert isinstance(first, Request)
    assert read(request_class, bytes(bytearray(plain))) == (None, first)

    for node in (EDGE, OTHER):
        assert read(request_class, request_class(type_url=EDS, node=node, **fields).SerializeToString()) == (
            node,
            first,
        )


@pytest.mark.shows("P-117")
def test_who_says_that_it_has_too_much_is_refused_when_it_is_read():
    claims = {"a" * (LIMITS.name_length + 1): "1"}
    for fields in ({}, {"node": EDGE}):
        with pytest.raises(TooMuchError, match="initial_resource_versions"):
            read(DeltaDiscoveryRequest, delta(initial_resource_versions=claims, **fields))
