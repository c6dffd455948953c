"""A server that speaks HTTP/2 as a test tells it: well, or not at all."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import trustme

from xds_server.consul.address import ConsulAddress, ConsulTls
from xds_server.consul.client import ConsulClient
from xds_server.consul.transport import Limits

Answer = Callable[["Connection", int], None]


class Connection(asyncio.Protocol):
    """One connection; `conn` is its state machine, and `flush` sends what that has to say."""

    def __init__(self, server: "FakeHttp2") -> None:
        self._server = server
        self.transport: Any = None
        self.streams: set[int] = set()
        self.paths: list[str] = []
        self.reset: list[int] = []
        self._later: dict[int, bytes] = {}
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.conn.local_settings = h2.settings.Settings(
            client=False,
            initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: server.most},
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._server.connections.append(self)
        if self._server.hello is not None:
            self.transport.write(self._server.hello)
            return
        self.conn.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self._server.hello is not None:
            return
        for event in self.conn.receive_data(data):
            match event:
                case h2.events.RequestReceived(stream_id=int(number), headers=headers):
                    self.streams.add(number)
                    self._server.most_open = max(self._server.most_open, len(self.streams))
                    self.paths.append(dict(headers or [])[b":path"].decode())
                    self._server.answer(self, number)
                case h2.events.StreamReset(stream_id=int(number)):
                    self.streams.discard(number)
                    self.reset.append(number)
                case h2.events.WindowUpdated():
                    self._go_on()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.streams.clear()

    def flush(self) -> None:
        if data := self.conn.data_to_send():
            self.transport.write(data)

    def reply(self, number: int, body: bytes = b"{}", *, end: bool = True, **headers: str) -> None:
        """Answer 200; without `end` more may follow by `send`."""
        fields = [(":status", "200"), ("x-consul-index", "7"), *headers.items()]
        self.conn.send_headers(number, fields)
        self.send(number, body, end=end)

    def send(self, number: int, body: bytes, *, end: bool) -> None:
        """Send as much as the windows allow, the rest when they open."""
        window = self.conn.local_flow_control_window(number)
        now, later = body[:window], body[window:]
        size = self.conn.max_outbound_frame_size
        for at in range(0, len(now), size):
            self.conn.send_data(number, now[at : at + size])
        if later:
            self._later[number] = later
        elif end:
            self.conn.end_stream(number)
            self.streams.discard(number)
        self.flush()

    def _go_on(self) -> None:
        for number in list(self._later):
            self.send(number, self._later.pop(number), end=True)


class FakeHttp2:
    """Answers each request by `answer`; allows `most` streams a connection.

    With `hello` it says just that, whatever is sent.
    """

    def __init__(
        self, answer: Answer = Connection.reply, *, most: int = 100, hello: bytes | None = None
    ) -> None:
        self.answer = answer
        self.most = most
        self.hello = hello
        self.connections: list[Connection] = []
        self.most_open = 0
        self.port = 0
        self._ca = trustme.CA()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        context.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._server.wait_closed()

    def client(self, *, port: int = 0, connections: int = 100, limits: Limits | None = None) -> ConsulClient:
        """A client of it, or of a proxy before it."""
        tls = ConsulTls(verify=False)
        address = ConsulAddress(url=f"https://127.0.0.1:{port or self.port}", tls=tls)
        return ConsulClient(address, connections=connections, limits=limits)
