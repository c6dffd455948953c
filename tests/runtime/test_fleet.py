import pytest
from envoy.config.core.v3.base_pb2 import Node

from tests.protocol.resources import service, snapshot
from xds_server.model.proxy import Proxy
from xds_server.protocol import SotwMachine
from xds_server.runtime.fleet import Fleet, Session, known_node


def session(node_id: str) -> Session:
    machine = SotwMachine(snapshot(service("a")), "test")
    return Session(
        proxy=Proxy(id=node_id), variant="sotw", peer="ipv4:127.0.0.1:1", since=1.0, machine=machine, node=b""
    )


def test_streams_are_listed_while_they_are_open_oldest_first():
    fleet = Fleet()
    first, second, twin = session("b"), session("a"), session("b")
    for one in (first, second, twin):
        fleet.enter(one)
    assert fleet.sessions == (first, second, twin)

    fleet.leave(first)

    assert fleet.sessions == (second, twin)


def test_entering_and_leaving_twice_is_harmless():
    fleet = Fleet()
    one = session("a")
    fleet.enter(one)
    fleet.enter(one)
    assert fleet.sessions == (one,)

    fleet.leave(one)
    fleet.leave(one)

    assert fleet.sessions == ()


def test_a_list_that_was_taken_does_not_change():
    fleet = Fleet()
    one = session("a")
    fleet.enter(one)
    taken = fleet.sessions
    fleet.leave(one)

    assert taken == (one,)


def test_of_a_node_its_extensions_are_left_out():
    node = Node(id="edge-1", cluster="edge", user_agent_name="envoy", client_features=["some"])
    node.user_agent_build_version.version.major_number = 1
    node.locality.zone = "z1"
    node.metadata.update({"team": "a"})
    expected = node.SerializeToString()
    node.extensions.add(name="x" * 60_000)
    node.dynamic_parameters["a"].params["b"] = "c"
    node.listening_addresses.add()

    assert known_node(node) == expected


@pytest.mark.shows("P-117")
@pytest.mark.parametrize("field", ["metadata", "cluster", "features"])
def test_of_a_huge_node_only_who_it_is_stays(field):
    node = Node(id="edge-1", cluster="edge", user_agent_name="envoy")
    match field:
        case "metadata":
            node.metadata.update({"blob": "x" * 20_000})
        case "cluster":
            node.cluster = "edge" + "x" * 20_000
        case "features":
            node.client_features.extend(["x" * 100] * 200)

    kept = Node.FromString(known_node(node))

    assert (kept.id, kept.user_agent_name, kept.cluster[:4]) == ("edge-1", "envoy", "edge")
    assert kept.ByteSize() < 2_000
