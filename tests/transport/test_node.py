import pytest
from envoy.config.core.v3.base_pb2 import Node

from xds_server.model.proxy import Group, Proxy
from xds_server.transport.node import MAX_NODE_ID, NodeError, proxy_of


def node(**metadata):
    made = Node(id="edge-1", cluster="edge")
    made.metadata.update(metadata)
    return made


def test_a_node_without_metadata():
    assert proxy_of(Node(id="edge-1", cluster="edge")) == Proxy(id="edge-1", cluster="edge", group=Group())


@pytest.mark.parametrize(
    ("told", "understood"),
    [
        (19000, 19000),
        (19000.0, 19000),
        (1, 1),
        (65535, 65535),
        (0, None),
        (65536, None),
        (-1, None),
        (19000.5, None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
        ("19000", None),
        (True, None),
        (None, None),
        ([19000], None),
        ({"port": 19000}, None),
    ],
)
def test_an_admin_port_is_a_whole_number_or_it_was_not_told(told, understood):
    assert proxy_of(node(envoy_admin_port=told)).group == Group(admin_port=understood)


def test_other_metadata_is_passed_over_and_asking_adds_nothing():
    made = node(team="shop", nested={"a": [1, 2]})

    assert proxy_of(made).group == Group()
    assert "envoy_admin_port" not in made.metadata.fields


def test_the_longest_id():
    assert proxy_of(Node(id="x" * MAX_NODE_ID)).id == "x" * MAX_NODE_ID
    with pytest.raises(NodeError, match="longer than 512"):
        proxy_of(Node(id="x" * (MAX_NODE_ID + 1)))


def test_a_long_cluster_is_cut():
    assert proxy_of(Node(id="a", cluster="x" * 10_000)).cluster == "x" * MAX_NODE_ID


def test_without_an_id_it_says_what_to_set():
    with pytest.raises(NodeError, match=r"node\.id; set it in the bootstrap"):
        proxy_of(Node())
