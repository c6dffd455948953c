"""However a request is read, it says the same."""

import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.resources import EDS
from xds_server.protocol.names import Names
from xds_server.protocol.reading import Acknowledgement, Repeated, read

MANY = [f"service-{number:04}" for number in range(500)]
_FIELDS = ("type_url", "response_nonce", "version_info", "node", "error_detail")


def ack(**fields):
    return DiscoveryRequest(type_url=EDS, resource_names=MANY, **fields).SerializeToString()


def same(found, payload):
    plain = DiscoveryRequest.FromString(payload)
    assert set(found.resource_names) == set(plain.resource_names)
    assert all(getattr(found, field) == getattr(plain, field) for field in _FIELDS)
    assert found.HasField("error_detail") == plain.HasField("error_detail")


def test_names_that_come_again_are_the_same_object():
    first = read(DiscoveryRequest, ack(response_nonce="1", node=Node(id="edge-1")))
    again = read(DiscoveryRequest, ack(response_nonce="2", version_info="v"))

    assert isinstance(again, Repeated)
    assert isinstance(again.resource_names, Names)
    assert again.resource_names is first.resource_names
    assert (again.response_nonce, again.version_info) == ("2", "v")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(ack(), id="nothing else"),
        pytest.param(ack(error_detail=Status(code=13, message="no")), id="a rejection"),
        pytest.param(ack(node=Node(id="edge-1"), version_info="v"), id="fields before the names"),
        pytest.param(ack() + ack(response_nonce="9"), id="the names twice"),
        pytest.param(ack() + DiscoveryRequest(resource_names=["x"]).SerializeToString(), id="one name more"),
        pytest.param(ack() + b"\x1a\x01y", id="and one right behind them"),
        pytest.param(DiscoveryRequest(resource_names=MANY[:-1]).SerializeToString(), id="one less"),
        pytest.param(b"\x2a\x01n" + ack(), id="fields out of order"),
        pytest.param(ack() + b"\xba\x3e\x01z", id="a field that is not known"),
    ],
)
def test_a_request_says_what_it_says(payload):
    read(DiscoveryRequest, ack())

    same(read(DiscoveryRequest, payload), payload)
    same(read(DiscoveryRequest, payload), payload)


@pytest.mark.parametrize(
    "payload", [ack()[:-3], b"\x0a\xff\xff" + ack(), ack() + b"\x0a\x7f", b"\x1a" * 3000]
)
def test_what_is_no_request_is_refused(payload):
    read(DiscoveryRequest, ack())

    with pytest.raises(DecodeError):
        read(DiscoveryRequest, payload)


def test_the_other_variant_and_small_requests_are_read_as_they_are():
    few = DiscoveryRequest(resource_names=["a"])
    assert read(DiscoveryRequest, few.SerializeToString()) == few
    delta = DeltaDiscoveryRequest(resource_names_subscribe=MANY)
    assert read(DeltaDiscoveryRequest, delta.SerializeToString()) == delta


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"\x2a\x01n", b"\x0a\x01v", b"\x12\x03\x0a\x01i", b"\x1a\x01y", b"\x32\x02\x08\x0d"])
    ),
    st.lists(
        st.sampled_from([b"\x2a\x01n", b"\x0a\x01v", b"\x12\x03\x0a\x01j", b"\x1a\x01y", b"\x32\x02\x08\x0d"])
    ),
)
def test_whatever_stands_before_and_after_the_names(before, after):
    payload = b"".join((*before, ack(), *after))

    same(read(DiscoveryRequest, payload), payload)


@pytest.mark.parametrize(
    ("request_class", "more"), [(DeltaDiscoveryRequest, {}), (DiscoveryRequest, {"resource_names": ["user"]})]
)
def test_an_acknowledgement_is_read_once_for_all_who_send_it(request_class, more):
    payload = request_class(type_url=EDS, response_nonce="7.1", **more).SerializeToString()
    first, again = (read(request_class, bytes(bytearray(payload))) for _ in range(2))

    assert isinstance(first, Acknowledgement)
    assert again is first
    assert (first.type_url, first.response_nonce) == (EDS, "7.1")
    assert set(first.resource_names) == set(more.get("resource_names", ()))
    assert first.resource_names_subscribe == ()
    assert not first.HasField("error_detail")


@pytest.mark.parametrize(
    "fields",
    [
        {"node": Node(id="edge-1")},
        {"error_detail": Status(code=13, message="no")},
        {"resource_names_subscribe": ["user"]},
        {"resource_names_unsubscribe": ["user"]},
        {"initial_resource_versions": {"user": "1"}},
        {"response_nonce": ""},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_says_more_is_read_each_time(fields):
    payload = DeltaDiscoveryRequest(**{"type_url": EDS, "response_nonce": "7.1"} | fields).SerializeToString()

    assert not isinstance(read(DeltaDiscoveryRequest, payload), Acknowledgement)
