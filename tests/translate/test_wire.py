"""What is framed by hand is what protobuf itself writes."""

from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import BytesValue, UInt64Value
from hypothesis import given
from hypothesis import strategies as st

from tests.rig.catalogs import POLICY, SECRETS, catalog, service
from xds_server.model.catalog import Instance, Locality, Weights
from xds_server.model.proxy import Group
from xds_server.model.types import TypeUrl
from xds_server.translate import Translator
from xds_server.translate.packing import content_of, encoded, pack
from xds_server.translate.wire import framed, varint, varint_at

EDGES = (0, 1, 127, 128, 1023, 1024, 16_383, 16_384, 2**32 - 1)


@given(st.one_of(st.sampled_from(EDGES[1:]), st.integers(1, 2**63)))
def test_a_number_is_written_and_read_as_protobuf_does(number: int) -> None:
    written = varint(number)

    assert b"\x08" + written == UInt64Value(value=number).SerializeToString()
    assert varint_at(b"x" + written + b"\xff", 1) == (number, 1 + len(written))


def test_zero_is_one_byte() -> None:
    assert varint(0) == b"\0"


@pytest.mark.parametrize("cut", [b"", b"\x80", b"\xff\xff"])
def test_a_number_that_ends_too_soon_is_an_error(cut: bytes) -> None:
    with pytest.raises(IndexError):
        varint_at(cut, 0)


@pytest.mark.parametrize("size", [1, 127, 128, 1023, 1024, 20_000])
def test_bytes_are_framed_as_protobuf_does(size: int) -> None:
    assert framed(b"\x0a", b"x" * size) == BytesValue(value=b"x" * size).SerializeToString()


@pytest.mark.parametrize("name", ["", "x", "x" * 3000])
def test_a_resource_is_packed_as_protobuf_does(name: str) -> None:
    message = Cluster(name=name)
    content = message.SerializeToString(deterministic=True)

    made = encoded(TypeUrl.CLUSTER, name, content)

    assert made.packed == pack(message).SerializeToString(deterministic=True)
    assert content_of(TypeUrl.CLUSTER, made.packed) == (content or None)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        AnyMessage(type_url=TypeUrl.CLUSTER).SerializeToString(),
        AnyMessage(type_url=TypeUrl.LISTENER, value=b"x").SerializeToString(),
        AnyMessage(type_url=TypeUrl.CLUSTER, value=b"x").SerializeToString() + b"x",
        AnyMessage(type_url=TypeUrl.CLUSTER, value=b"x").SerializeToString()[:-1],
        AnyMessage(type_url=TypeUrl.CLUSTER, value=b"x").SerializeToString()[:-2],
    ],
)
def test_content_is_only_found_where_it_is_all_there_is(packed: bytes) -> None:
    assert content_of(TypeUrl.CLUSTER, packed) is None


def test_clusters_and_endpoints_are_written_as_protobuf_does() -> None:
    fields: list[dict[str, Any]] = [
        {"address": "10.0.0.1", "port": 1},
        {"address": "2001:db8::1", "port": 65_535, "locality": Locality(zone="b")},
        {"address": "10.0.0.3", "port": 80, "locality": Locality(region="r", zone="a", sub_zone="ß")},
        {"address": "10.0.0.4", "port": 80, "weights": Weights(passing=60_000)},
    ]
    members = [Instance(node=f"n{n}", id=f"i{n}", **given) for n, given in enumerate(fields)]
    made = Translator(Group()).translate(catalog(service("user", *members)), POLICY, SECRETS)

    for type_url, kind in ((TypeUrl.CLUSTER, Cluster), (TypeUrl.ENDPOINTS, ClusterLoadAssignment)):
        content = content_of(type_url, made.drafts[type_url]["user"].packed) or b""
        assert kind.FromString(content).SerializeToString(deterministic=True) == content
