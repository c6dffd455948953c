import pytest
from envoy.config.core.v3.base_pb2 import Node

from xds_server.model.proxy import Client, Group, Proxy
from xds_server.protocol.node import MAX_NODE_TEXT, NodeError, proxy_of


def node(**metadata):
    made = Node(id="edge-1", cluster="edge")
    made.metadata.update(metadata)
    return made


def test_a_node_without_metadata():
    assert proxy_of(Node(id="edge-1", cluster="edge"), delta=True) == Proxy(
        id="edge-1", cluster="edge", group=Group(on_demand=True)
    )


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
    assert proxy_of(node(envoy_admin_port=told), delta=False).group == Group(admin_port=understood)


@pytest.mark.parametrize(
    ("told", "understood"),
    [
        (["xds_cluster"], ("xds_cluster",)),
        (["b", "a", "b"], ("a", "b")),
        ([], None),
        ([""], None),
        (["a", 1], None),
        (["a", None], None),
        ("xds_cluster", None),
        ({"a": "b"}, None),
        ([f"c{number}" for number in range(65)], None),
    ],
)
def test_static_clusters_are_a_list_of_names_or_they_were_not_told(told, understood):
    assert proxy_of(node(static_clusters=told), delta=True).group.static_clusters == understood


def test_an_envoy_without_lua_is_not_believed_to_find_clusters_by_name():
    made = node(static_clusters=["xds_cluster"])
    made.extensions.add(name="envoy.filters.http.router")
    assert proxy_of(made, delta=True).group.static_clusters is None

    made.extensions.add(name="envoy.router.cluster_specifier_plugin.lua")
    assert proxy_of(made, delta=True).group.static_clusters == ("xds_cluster",)


def test_other_metadata_is_passed_over_and_asking_adds_nothing():
    made = node(team="shop", nested={"a": [1, 2]})

    assert proxy_of(made, delta=False).group == Group()
    assert "envoy_admin_port" not in made.metadata.fields


def test_the_longest_id():
    assert proxy_of(Node(id="x" * MAX_NODE_TEXT), delta=False).id == "x" * MAX_NODE_TEXT
    with pytest.raises(NodeError, match="longer than 512"):
        proxy_of(Node(id="x" * (MAX_NODE_TEXT + 1)), delta=False)


def test_a_long_cluster_is_cut():
    assert proxy_of(Node(id="a", cluster="x" * 10_000), delta=False).cluster == "x" * MAX_NODE_TEXT


def test_without_an_id_it_says_what_to_set():
    with pytest.raises(NodeError, match=r"node\.id; set it in the bootstrap"):
        proxy_of(Node(), delta=False)


def agent(name, *version):
    made = Node(id="a", user_agent_name=name)
    if version:
        told = made.user_agent_build_version.version
        told.major_number, told.minor_number, told.patch = version
    return made


@pytest.mark.parametrize(
    ("node", "can"),
    [
        (agent("envoy", 1, 40, 0), True),
        (agent("envoy", 1, 37, 0), True),
        (agent("envoy", 1, 36, 4), False),
        (agent("envoy"), True),
        (agent("another", 1, 0, 0), True),
    ],
)
def test_what_can_be_asked_for_on_demand_depends_on_the_version(node, can):
    """Envoy before 1.37 rejects virtual host discovery over ADS."""
    assert proxy_of(node, delta=True).group.on_demand is can
    assert not proxy_of(node, delta=False).group.on_demand


@pytest.mark.shows("P-147")
def test_a_grpc_client_is_known_by_its_agent():
    node = Node(id="a", user_agent_name="gRPC C-core linux Python", user_agent_version="1.85.1")
    proxy = proxy_of(node, delta=False)

    assert (proxy.group.client, proxy.agent) == (Client.GRPC, "gRPC C-core linux Python 1.85.1")
    assert proxy_of(agent("envoy", 1, 40, 0), delta=True).agent == "envoy 1.40.0"
