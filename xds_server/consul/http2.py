"""One HTTP/2 connection over TLS: the socket and the clocks around an `Http2Session`."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from yarl import URL

from xds_server.consul.errors import ConsulError
from xds_server.consul.failures import cut, late, translated
from xds_server.consul.http2_session import Http2Session, NotProcessedError
from xds_server.consul.tls import HTTP2
from xds_server.consul.transport import Limits, Reply, Request

_MOST_UNSENT: Final = 2**20  # bytes that the peer does not take, while it makes us answer
_IDLE_LOOKS: Final = 4
_GOODBYE_SECONDS: Final = 1.0


class NotHttp2Error(Exception):
    """The TLS handshake agreed on another protocol."""


class Http2Connection(asyncio.Protocol):
    """A connection to the agent at `base`; `freed` is called whenever there may be room for a request.

    Made by an event loop's `create_connection`, after which `ready` is awaited.
    """

    def __init__(self, base: str, limits: Limits, freed: Callable[[], None]) -> None:
        self._base = base
        self._limits = limits
        self._freed = freed
        self._loop = asyncio.get_running_loop()
        self._session = Http2Session(base, limits, self._settle)
        self._transport: asyncio.Transport | None = None
        self._heard = 0.0
        self._pinged = 0.0
        self._idle = 0
        self._clock: asyncio.TimerHandle | None = None
        self._settled: asyncio.Future[None] = self._loop.create_future()
        # Who dialled may be gone by then, and an error that nobody takes would be logged.
        self._settled.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._lost = asyncio.Event()

    @property
    def most(self) -> int:
        """How many requests may be under way at once, as the peer told."""
        return self._session.most

    @property
    def room(self) -> int:
        """How many more requests can be sent now."""
        return 0 if self._transport is None else max(0, self._session.most - self._session.open)

    @property
    def ended(self) -> bool:
        """Whether it takes no more requests."""
        return self._transport is None

    async def ready(self) -> None:
        """Wait for the peer's settings. Raises NotHttp2Error or ConsulError."""
        await self._settled

    async def send(self, url: URL, request: Request) -> Reply:
        """Give the reply. Raises ConsulError, or NotProcessedError.

        What is cancelled, late or longer than it may be is reset; the other requests never notice.
        """
        if self._transport is None:
            raise NotProcessedError
        limits = self._limits
        number, stream = self._session.begin(url, request)
        try:
            self._flush()
            async with asyncio.timeout(request.held + limits.whole):
                async with asyncio.timeout(request.held + limits.silence) as stream.silence:
                    return await stream.reply
        except TimeoutError:
            raise late(self._base, request.path) from None
        finally:
            self._session.finish(number)
            self._flush()
            self._freed()

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        transport = self._end(cut(self._base))
        if transport is None:
            return
        transport.close()
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._lost.wait()
        except TimeoutError:
            transport.abort()

    def abandon(self) -> None:
        """End the connection at once."""
        self._abort(cut(self._base))

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with our settings, if HTTP/2 is what was agreed on."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection gives
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != HTTP2:
            self._settled.set_exception(NotHttp2Error())
            transport.abort()
            return
        self._transport = transport
        self._heard = self._loop.time()
        self._flush()
        self._clock = self._loop.call_later(self._limits.quiet, self._look)

    def data_received(self, data: bytes) -> None:
        """Take a piece of what the peer sends."""
        if self._transport is None:
            return
        self._heard = self._loop.time()
        try:
            self._session.receive(data, self._heard)
        except ConsulError as error:
            self._abort(error)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way."""
        self._end(translated(self._base, exc) if isinstance(exc, ssl.SSLError) else cut(self._base))
        self._lost.set()

    # --- the connection

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)
        self._freed()

    def _look(self) -> None:
        """Ping a peer that says nothing, give up one that stays silent, and leave one that nobody asks."""
        self._idle = 0 if self._session.open else self._idle + 1
        if self._idle >= _IDLE_LOOKS:
            if transport := self._end(cut(self._base)):
                transport.close()
            return
        if self._pinged > self._heard:
            self._abort(cut(self._base))
            return
        now = self._loop.time()
        if now - self._heard >= self._limits.quiet / 2:
            self._session.ping()
            self._pinged = now
            self._flush()
        self._clock = self._loop.call_later(self._limits.quiet, self._look)

    def _flush(self) -> None:
        if self._transport is None:
            return
        if data := self._session.to_send():
            self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self._abort(cut(self._base))

    def _abort(self, error: ConsulError) -> None:
        if transport := self._end(error):
            transport.abort()

    def _end(self, error: ConsulError) -> asyncio.Transport | None:
        """Take no more requests and fail those under way; give the transport, which is to be ended."""
        transport, self._transport = self._transport, None
        if self._clock is not None:
            self._clock.cancel()
        if not self._settled.done():
            self._settled.set_exception(error)
        self._session.end(error)
        if transport is not None and (data := self._session.to_send()):
            transport.write(data)
        self._freed()
        return transport
