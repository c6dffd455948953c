"""HTTPS to one agent: HTTP/2 where the TLS handshake agrees on it (ALPN, RFC 7301), else HTTP/1.1."""

from xds_server.consul.address import ConsulTls
from xds_server.consul.errors import Unreachable
from xds_server.consul.http1 import Http1Transport
from xds_server.consul.http2 import NotHttp2Error
from xds_server.consul.http2_pool import Http2Transport
from xds_server.consul.transport import Limits, Reply, Request


class AlpnTransport:
    """Carries requests to the agent at `base`.

    What was agreed on is remembered until the agent is unreachable: another one may answer after that.
    Raises ConsulError if a TLS file cannot be used.
    """

    def __init__(self, base: str, tls: ConsulTls, connections: int, limits: Limits) -> None:
        self.base = base
        self._http2 = Http2Transport(base, tls, connections, limits)
        self._http1 = Http1Transport(base, tls, connections, limits)
        self._is_http1 = False
        self._is_http2 = False

    @property
    def capacity(self) -> int:
        """That of HTTP/1.1, until HTTP/2 was agreed on."""
        return self._http2.capacity if self._is_http2 else self._http1.capacity

    async def send(self, request: Request) -> Reply:
        """Give the reply. Raises ConsulError."""
        if not self._is_http1:
            try:
                reply = await self._http2.send(request)
            except NotHttp2Error:
                self._is_http1, self._is_http2 = True, False
            else:
                self._is_http2 = True
                return reply
        try:
            return await self._http1.send(request)
        except Unreachable:
            self._is_http1 = False
            raise

    async def close(self) -> None:
        """End all connections."""
        await self._http2.close()
        await self._http1.close()
