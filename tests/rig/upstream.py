"""A small HTTP server of the test's own: answers its name, counts, and fails on demand."""

import ssl
from types import TracebackType
from typing import Self

from aiohttp import web


class Upstream:
    """Answers 200 with `name`; while `failing` is set, 503. `requests` counts what it was asked."""

    def __init__(self, name: str, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        assert host.startswith("127."), "test traffic stays on loopback"
        self.name = name
        self.host = host
        self.port = 0
        self.failing = False
        self.requests = 0
        self._tls = tls
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)

    @property
    def address(self) -> str:
        """`ip:port`, as Envoy lists it."""
        return f"{self.host}:{self.port}"

    async def start(self) -> Self:
        """Listen on a free port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.requests += 1
        return web.Response(status=503 if self.failing else 200, text=self.name)
