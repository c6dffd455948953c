"""A response is made by joining bytes; two decoders, one of them not ours, must read from it what went in."""

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse
from hypothesis import given
from hypothesis import strategies as st

from tests.rig import other_decoder
from tests.rig.catalogs import instance, service
from xds_server.model.policy import EndpointPolicy, ServicePolicy
from xds_server.model.types import TypeUrl
from xds_server.snapshot import Resource
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.endpoints import assignment
from xds_server.translate.meaning import ClusterSpec, Pick
from xds_server.translate.packing import Draft
from xds_server.translate.places import Places

# Around these sizes a length takes one byte more: 127, 16,383, and what they come to with all that is around.
SIZES = st.one_of(
    st.integers(0, 300), st.integers(16_200, 16_500), st.sampled_from([2**21 - 1, 2**21, 2**21 + 1])
)


def resource(name: str = "user", port: int = 8080) -> Resource:
    spec = ClusterSpec(name=name, policy=ServicePolicy(), picks=(Pick(service=name),))
    found = (service(name, instance(port=port)),)
    draft, _ = assignment(spec, found, EndpointRules(EndpointPolicy()), Places(own="dc1"))
    return Resource.of(draft)


def joined(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(piece for part in parts for piece in part)


def test_state_of_the_world_reads_back_in_both_decoders() -> None:
    sent = [resource("user"), resource("order", 9)]
    head = DiscoveryResponse(version_info="1", type_url=TypeUrl.ENDPOINTS, nonce="n").SerializeToString()
    wire = head + joined(*(one.sotw for one in sent))

    ours, theirs = DiscoveryResponse.FromString(wire), other_decoder.DiscoveryResponse.parse(wire)

    assert (ours.version_info, ours.type_url, ours.nonce) == ("1", TypeUrl.ENDPOINTS, "n")
    assert (theirs.version_info, theirs.type_url, theirs.nonce) == ("1", TypeUrl.ENDPOINTS, "n")
    assert [one.SerializeToString() for one in ours.resources] == [one.packed for one in sent]
    assert [(one.type_url, one.value) for one in theirs.resources] == [
        (one.type_url, one.value) for one in ours.resources
    ]


@pytest.mark.shows("P-070")
def test_delta_reads_back_in_both_decoders() -> None:
    sent = [resource("user"), resource("order", 9)]
    wire = joined(*(one.delta for one in sent)) + DeltaDiscoveryResponse(nonce="n").SerializeToString()

    ours, theirs = DeltaDiscoveryResponse.FromString(wire), other_decoder.DeltaDiscoveryResponse.parse(wire)

    expected = [(one.name, one.version, one.packed) for one in sent]
    assert [(one.name, one.version, one.resource.SerializeToString()) for one in ours.resources] == expected
    assert [(one.name, one.version, bytes(one.resource)) for one in theirs.resources] == expected
    assert ours.nonce == theirs.nonce == "n"


def test_the_other_decoder_sees_the_endpoint() -> None:
    theirs = other_decoder.DiscoveryResponse.parse(joined(resource(port=8081).sotw))

    (found,) = other_decoder.ClusterLoadAssignment.parse(theirs.resources[0].value).endpoints
    socket = found.lb_endpoints[0].endpoint.address.socket_address
    assert (socket.address, socket.port_value) == ("10.0.0.1", 8081)


@given(SIZES, st.text(max_size=200))
def test_every_length_is_told_right(size: int, name: str) -> None:
    # An Any with nothing but its field 2, `value`: the shortest message of about that size.
    packed = DiscoveryResponse(resources=[{"value": b"x" * size}]).resources[0].SerializeToString()
    made = Resource.of(Draft(type=TypeUrl.CLUSTER, name=name, packed=packed))

    (sotw,) = DiscoveryResponse.FromString(joined(made.sotw)).resources
    (delta,) = DeltaDiscoveryResponse.FromString(joined(made.delta)).resources

    assert len(sotw.value) == len(delta.resource.value) == size
    assert (delta.name, delta.version) == (name, made.version)


@given(st.binary(max_size=50), st.binary(max_size=50))
@pytest.mark.shows("P-021")
def test_equal_content_and_equal_version_go_together(one: bytes, other: bytes) -> None:
    first, second = (
        Resource.of(Draft(type=TypeUrl.CLUSTER, name="x", packed=packed)) for packed in (one, other)
    )

    assert (first.version == second.version) is (one == other)


@pytest.mark.shows("P-021")
def test_a_version_is_the_same_for_ever() -> None:
    # A change here makes every Envoy be sent everything once more when the server is upgraded.
    made = Resource.of(Draft(type=TypeUrl.CLUSTER, name="x", packed=b"content"))

    assert made.version == "ed7002b439e9ac845f22357d822bac14"


@pytest.mark.shows("T-CA-12")
def test_bytes_are_held_once() -> None:
    draft = Draft(type=TypeUrl.CLUSTER, name="x", packed=b"content")
    made = Resource.of(draft)

    assert made.packed is draft.packed
    assert made.sotw[1] is draft.packed
    assert made.delta[1] is draft.packed


@pytest.mark.parametrize("text", ["content", "hush"])
def test_bytes_do_not_show(text: str) -> None:
    assert text not in repr(Resource.of(Draft(type=TypeUrl.SECRET, name="x", packed=text.encode())))
