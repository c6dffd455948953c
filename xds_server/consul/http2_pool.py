"""HTTP/2 to one agent: as few connections as there is room for the requests that are under way.

Consul counts connections (`limits.http_max_conns_per_client`), and its server allows 250 requests on each, so
thousands of long polls fit into a handful.
"""

import asyncio
from typing import Final

from yarl import URL

from xds_server.consul.address import ConsulTls
from xds_server.consul.failures import cut, late, not_connected
from xds_server.consul.http2 import Http2Connection
from xds_server.consul.http2_session import NotProcessedError
from xds_server.consul.tls import HTTP1, HTTP2, TlsContexts
from xds_server.consul.transport import Limits, Reply, Request

_STREAMS: Final = 100  # of a connection, as long as none has told: the least that RFC 9113 recommends
_TRIES: Final = 3


class Http2Transport:
    """Carries requests to the agent at `base`, over at most `connections`, made as they are needed.

    Raises ConsulError if a TLS file cannot be used.
    """

    def __init__(self, base: str, tls: ConsulTls, connections: int, limits: Limits) -> None:
        self.base = base
        self._tls = tls
        self._contexts = TlsContexts(tls, HTTP2, HTTP1)
        self._most = connections
        self._limits = limits
        self._open: list[Http2Connection] = []
        self._dialing: asyncio.Task[None] | None = None
        self._freed = asyncio.Event()
        self._streams = _STREAMS

    @property
    def capacity(self) -> int:
        """So many requests as the connections may carry, by what the newest one was told."""
        return self._most * self._streams

    async def send(self, request: Request) -> Reply:
        """Give the reply. Raises ConsulError, and NotHttp2Error where TLS agrees on another protocol."""
        url = request.url(self.base)
        for _ in range(_TRIES):
            try:
                connection = await self._with_room(request)
                return await connection.send(url, request)
            except NotProcessedError:
                continue
        raise cut(self.base)

    async def close(self) -> None:
        """End all connections."""
        if self._dialing is not None:
            self._dialing.cancel()
            await asyncio.wait({self._dialing})
        for connection in self._open:
            await connection.close()
        self._open.clear()

    async def _with_room(self, request: Request) -> Http2Connection:
        """Give a connection with room; wait for one no longer than for an answer."""
        try:
            async with asyncio.timeout(request.held + self._limits.whole):
                while True:
                    self._open = [one for one in self._open if not one.ended]
                    for connection in self._open:
                        if connection.room > 0:
                            return connection
                    self._freed.clear()
                    if len(self._open) < self._most:
                        await self._dialed()
                    else:
                        await self._freed.wait()
        except TimeoutError:
            raise late(self.base, request.path) from None

    async def _dialed(self) -> None:
        """Wait for the one dial that is under way: all who wait for it share its end."""
        if self._dialing is None:
            self._dialing = asyncio.create_task(self._dial())
            self._dialing.add_done_callback(self._has_dialed)
        await asyncio.shield(self._dialing)

    def _has_dialed(self, dialing: asyncio.Task[None]) -> None:
        self._dialing = None
        if not dialing.cancelled():
            dialing.exception()  # who waited may be gone by now

    async def _dial(self) -> None:
        url = URL(self.base)
        made = Http2Connection(self.base, self._limits, self._freed.set)
        try:
            async with asyncio.timeout(self._limits.connect):
                await asyncio.get_running_loop().create_connection(
                    lambda: made,
                    url.host or "",
                    url.port or 443,
                    ssl=self._contexts.current(),
                    server_hostname=self._tls.server_name or url.host,
                )
                await made.ready()
        except OSError as error:
            made.abandon()
            raise not_connected(self.base, error) from None
        except BaseException:
            made.abandon()
            raise
        self._streams = max(1, made.most)
        self._open.append(made)
