import socket

import pytest

from xds_server.demo.errors import PortsTakenError
from xds_server.demo.ports import Port, check_free, is_free, pick_free


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_the_option_that_moves_it(taken):
    (free,) = pick_free(1)
    with pytest.raises(PortsTakenError) as caught:
        check_free(
            [
                Port(number=free, what="xDS", option="--xds-port"),
                Port(number=taken, what="Envoy's listener", option="--port"),
            ]
        )
    assert str(caught.value) == f"Port {taken} (Envoy's listener) is taken, move it with --port."


def test_all_taken_ports_are_named_at_once_and_one_given_twice_too(taken):
    (free,) = pick_free(1)
    with pytest.raises(PortsTakenError) as caught:
        check_free(
            [
                Port(number=taken, what="Consul", option="--consul-port"),
                Port(number=free, what="xDS", option="--xds-port"),
                Port(number=free, what="admin", option="--admin-port"),
            ]
        )
    assert str(caught.value) == (
        f"Port {taken} (Consul) is taken, move it with --consul-port; "
        f"port {free} is both --xds-port and --admin-port, move one of them."
    )


def test_a_port_taken_on_all_addresses_is_taken_here_too():
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert not is_free(listener.getsockname()[1])


def test_a_port_whose_last_connection_is_being_forgotten_is_free():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
    accepted.close()
    assert client.recv(1) == b""
    client.close()
    assert is_free(port)


def test_picked_ports_are_free_and_all_different():
    ports = pick_free(8)
    assert len(set(ports)) == 8
    assert all(is_free(port) for port in ports)
