"""A DNS server of the test's own: one address for every name, or none, after a delay."""

import asyncio
import ipaddress
from types import TracebackType
from typing import Any, Self

_HEADER = 12
_A = 1
_ANSWERED = b"\x81\x80"


class NameServer(asyncio.DatagramProtocol):
    """Answers queries for A with `address` and a TTL of a second, `delay` seconds later; others with nothing.

    An empty `address` is none. `asked` counts the queries. With `silent` it gives no answer at all; an Envoy
    asks it twice then.
    """

    def __init__(self, *, address: str = "127.0.0.1", delay: float = 0.0, silent: bool = False) -> None:
        self.port = 0
        self.asked = 0
        self.delay = delay
        self.silent = silent
        self._address = ipaddress.IPv4Address(address).packed if address else b""
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    def amend(self, bootstrap: dict[str, Any]) -> None:
        """Let an Envoy ask this server, and no other, and in all else as its bootstrap says."""
        resolver = bootstrap["typed_dns_resolver_config"]["typed_config"]
        resolver["resolvers"] = [{"socket_address": {"address": "127.0.0.1", "port_value": self.port}}]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a query in time (RFC 1035, 4.1)."""
        self.asked += 1
        if not self.silent:
            asyncio.get_running_loop().call_later(self.delay, self._send, self._answer(data), addr)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", _HEADER) + 5
        question = query[_HEADER:end]
        wanted = bool(self._address) and int.from_bytes(question[-4:-2]) == _A
        counts = b"\0\1" + (b"\0\1" if wanted else b"\0\0") + b"\0\0\0\0"
        # A pointer to the name of the question, type A, class IN, a TTL of 1 s, 4 bytes.
        record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + self._address
        return query[:2] + _ANSWERED + counts + question + (record if wanted else b"")

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)
