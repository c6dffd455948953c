"""HTTP/1.1, over TCP, TLS or a unix socket: one connection for each request that is under way."""

import aiohttp

from xds_server.consul.address import ConsulTls, socket_path
from xds_server.consul.failures import late, too_long, translated
from xds_server.consul.tls import HTTP1, TlsContexts
from xds_server.consul.transport import OK, Limits, Reply, Request


class Http1Transport:
    """Carries requests to the agent at `base`, over at most `connections`.

    Must be made where an event loop runs. Raises ConsulError if a TLS file cannot be used.
    """

    def __init__(self, base: str, tls: ConsulTls, connections: int, limits: Limits) -> None:
        self.base = base
        self._connections = connections
        self._limits = limits
        self._server_name = tls.server_name or None
        self._contexts = TlsContexts(tls, HTTP1) if base.startswith("https:") else None
        self._session = aiohttp.ClientSession(
            connector=_connector(base, connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_headers=limits.headers,
        )

    @property
    def capacity(self) -> int:
        """One request for each connection."""
        return self._connections

    async def send(self, request: Request) -> Reply:
        """Give the reply. Raises ConsulError."""
        try:
            async with self._session.request(
                request.method,
                request.url(self.base),
                headers=request.fields,
                data=request.body or None,
                timeout=self._timeout(request.held),
                allow_redirects=False,
                ssl=self._contexts.current() if self._contexts is not None else True,
                server_hostname=self._server_name,
            ) as response:
                return Reply(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    body=await self._read(request.path, response),
                )
        except TimeoutError:
            raise late(self.base, request.path) from None
        except (aiohttp.ClientError, OSError) as error:
            raise translated(self.base, error) from None

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    def _timeout(self, held: float) -> aiohttp.ClientTimeout:
        limits = self._limits
        return aiohttp.ClientTimeout(
            total=held + limits.whole, sock_connect=limits.connect, sock_read=held + limits.silence
        )

    async def _read(self, path: str, response: aiohttp.ClientResponse) -> bytes:
        if response.status != OK:
            return await response.content.read(self._limits.said)
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._limits.body:
                raise too_long(path, self._limits.body)
        return bytes(body)


def _connector(base: str, connections: int) -> aiohttp.BaseConnector:
    if path := socket_path(base):
        return aiohttp.UnixConnector(path, limit=connections)
    return aiohttp.TCPConnector(limit=connections, ttl_dns_cache=10)
