"""The port that the workers share by SO_REUSEPORT (socket(7)), kept from everybody else."""

import socket

from xds_server.transport import PortTakenError


class SharedPort:
    """Holds an address for the workers of this server; it does not listen there itself.

    It is bound as any port is, so an address that somebody has is refused, and so is who comes later. Only
    then is it opened to the workers, which the kernel lets in as they are of the same user; what does not
    listen gets no connections. Linux allows that order, and there is no moment between the two.
    """

    def __init__(self, host: str, port: int) -> None:
        self._sockets: list[socket.socket] = []
        self.port = port
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(addresses):
                self._bind(family, address)
        except OSError:
            self.close()
            raise PortTakenError(f"{host}:{port}") from None

    def _bind(self, family: int, address: tuple[object, ...]) -> None:
        """Bind one address; with port 0 the first one decides for all."""
        one = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(one)
        # Connections of an earlier server may linger.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address[0], self.port, *address[2:]))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.port = one.getsockname()[1]

    def close(self) -> None:
        """Let it go."""
        for one in self._sockets:
            one.close()
