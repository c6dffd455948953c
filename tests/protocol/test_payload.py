"""What is refused before it is decoded."""

import contextlib
import time

import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from xds_server.protocol import ProtocolError
from xds_server.protocol.messages import TooMuchError
from xds_server.protocol.payload import check_payload

MANY = 200_000


def versions(count):
    held = {f"service-{number}": "v" for number in range(count)}
    return DeltaDiscoveryRequest(initial_resource_versions=held).SerializeToString()


@pytest.mark.case(109)
@pytest.mark.shows("P-117")
def test_a_map_that_would_take_seconds_is_refused_in_a_moment():
    payload = versions(MANY)
    began = time.process_time()

    with pytest.raises(TooMuchError, match="more than 100000 initial_resource_versions"):
        check_payload(payload, DeltaDiscoveryRequest)

    assert time.process_time() - began < 1.0


@pytest.mark.shows("P-110", "P-117")
def test_what_a_large_proxy_has_is_taken():
    check_payload(versions(50_000), DeltaDiscoveryRequest)
    names = [f"service-{number}" for number in range(MANY)]
    # Names are counted by their own limit, after they were read, which is quick.
    check_payload(DiscoveryRequest(resource_names=names).SerializeToString(), DiscoveryRequest)
    rejected = DiscoveryRequest(error_detail={"code": 13, "message": "x" * 4_000_000})
    check_payload(rejected.SerializeToString(), DiscoveryRequest)


@pytest.mark.case(96)
@pytest.mark.shows("P-117")
@pytest.mark.parametrize("request_type", [DiscoveryRequest, DeltaDiscoveryRequest])
@pytest.mark.parametrize("pieces", [1, 4])
def test_a_node_of_a_megabyte_is_refused_in_one_piece_or_in_many(request_type, pieces):
    """Pieces of one message that is no list are merged (protobuf's encoding, "Last One Wins")."""
    node = Node(id="x" * (1_100_000 // pieces))
    payload = request_type(node=node).SerializeToString() * pieces

    with pytest.raises(ProtocolError, match="node has more than 1048576 bytes"):
        check_payload(payload, request_type)


@pytest.mark.case(113)
def test_what_hides_in_a_group_is_refused():
    with pytest.raises(ProtocolError, match="a group"):
        check_payload(b"\x0b" + versions(MANY), DeltaDiscoveryRequest)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x2a\x02\x0a\x00", b"\x0a\xff", b"\x80"]))
def test_no_bytes_break_it(start, repeated):
    """Whatever comes is passed over, or refused with a sentence."""
    with contextlib.suppress(ProtocolError):
        check_payload(start + repeated * 40_000 + b"x" * 270_000, DeltaDiscoveryRequest)
