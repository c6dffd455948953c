"""Ports of 127.0.0.1: whether they can be had, and free ones for what nobody has to find."""

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from xds_server.demo.errors import PortsTakenError

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port somebody types: its number, what listens there, and the option that moves it."""

    number: int
    what: str
    option: str


def is_free(number: int) -> bool:
    """Tell whether 127.0.0.1 can be listened on at this port now.

    With SO_REUSEADDR, as Envoy and asyncio do it: connections that are only being forgotten are no obstacle.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, number))
        except OSError:
            return False
    return True


def check_free(ports: Sequence[Port]) -> None:
    """Raise PortsTakenError if any port is taken or asked for twice, naming all of them at once."""
    faults = [
        f"port {port.number} ({port.what}) is taken, move it with {port.option}"
        for port in ports
        if not is_free(port.number)
    ]
    for place, port in enumerate(ports):
        twin = next((other for other in ports[:place] if other.number == port.number), None)
        if twin is not None:
            faults.append(f"port {port.number} is both {twin.option} and {port.option}, move one of them")
    if faults:
        raise PortsTakenError("P" + "; ".join(faults)[1:] + ".")


def pick_free(count: int) -> tuple[int, ...]:
    """Give ports of 127.0.0.1 that are free now, for TCP and for UDP (Consul's gossip needs both)."""
    ports: list[int] = []
    # All are held open until the last is found, so that none is given twice.
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            tcp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.bind((LOOPBACK, 0))
            number: int = tcp.getsockname()[1]
            udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                udp.bind((LOOPBACK, number))
                ports.append(number)
    return tuple(ports)
