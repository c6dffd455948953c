"""The port of the workers is theirs alone."""

import itertools
import socket

import pytest

from xds_server.app.workers.port import SharedPort
from xds_server.transport import PortTakenError


def listening(port, *, shared, host="127.0.0.1"):
    """Listen as gRPC does; give the socket."""
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        one.bind((host, port))
        one.listen()
    except OSError:
        one.close()
        raise
    return one


def accepted(listening):
    """Accept all that waits; give how many that were."""
    listening.setblocking(False)
    for count in itertools.count():
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
    return 0


@pytest.fixture
def held():
    one = SharedPort("127.0.0.1", 0)
    yield one
    one.close()


def test_workers_listen_there_and_get_every_connection(held):
    with listening(held.port, shared=True) as first, listening(held.port, shared=True) as second:
        clients = [socket.create_connection(("127.0.0.1", held.port), timeout=5) for _ in range(40)]
        got = sum(accepted(one) for one in (first, second))
        for client in clients:
            client.close()
    assert got == 40


@pytest.mark.parametrize("busy", [False, True])
def test_nobody_else_has_it(held, busy):
    workers = [listening(held.port, shared=True)] if busy else []
    with pytest.raises(PortTakenError):
        SharedPort("127.0.0.1", held.port)
    with pytest.raises(OSError, match="in use"):
        listening(held.port, shared=False)
    for one in workers:
        one.close()


def test_a_port_that_somebody_has_is_refused():
    with listening(0, shared=False) as other, pytest.raises(PortTakenError):
        SharedPort("127.0.0.1", other.getsockname()[1])
    with listening(0, shared=True) as other, pytest.raises(PortTakenError):
        SharedPort("127.0.0.1", other.getsockname()[1])
    with pytest.raises(PortTakenError):
        SharedPort("192.0.2.1", 0)


def test_it_is_free_again_when_it_is_closed_though_connections_linger():
    held = SharedPort("127.0.0.1", 0)
    with listening(held.port, shared=True) as worker:
        client = socket.create_connection(("127.0.0.1", held.port))
        # The side that closes first keeps the port for a while (TIME_WAIT).
        worker.accept()[0].close()
        client.close()
    held.close()

    again = SharedPort("127.0.0.1", held.port)
    again.close()
    assert again.port == held.port


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1"])
def test_every_address_of_a_host_has_the_same_port(host):
    held = SharedPort(host, 0)
    addresses = {one.getsockname()[:2] for one in held._sockets}
    held.close()

    assert {port for _, port in addresses} == {held.port}
