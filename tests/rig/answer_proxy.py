"""An HTTP proxy before a real Consul that counts what is asked and lets a test change what is answered.

async with AnswerProxy(agent.http_port) as proxy:
    proxy.instead = lambda path: Reply(status=429) if path.startswith("/v1/health") else None
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

_PASSED_ON = ("X-Consul-", "Content-Type", "Age")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as a client gets it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Asked:
    """When a query came (loop time), for what, and after which index."""

    at: float
    path: str
    index: int


class AnswerProxy:
    """Passes queries on to a port of 127.0.0.1.

    `instead` may answer at once what comes for a path; `change` may change an answer on its way back.
    """

    def __init__(self, target_port: int) -> None:
        self.instead: Callable[[str], Reply | None] = lambda _path: None
        self.change: Callable[[str, Reply], Reply] = lambda _path, reply: reply
        self.asked: list[Asked] = []
        self.open = 0
        """How many queries are held now."""
        self.port = 0
        self._target = f"http://127.0.0.1:{target_port}"
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            auto_decompress=False,
        )
        server = web.Server(self._answer, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    def count(self, since: float, until: float) -> int:
        """Count the queries that came in a span of loop time."""
        return sum(since <= asked.at < until for asked in self.asked)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        self.asked.append(Asked(now, request.path, int(request.query.get("index", 0))))
        self.open += 1
        try:
            reply = self.instead(request.path) or await self._from_consul(request)
        finally:
            self.open -= 1
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _from_consul(self, request: web.BaseRequest) -> Reply:
        assert self._session is not None
        asked = {name: value for name, value in request.headers.items() if name != "Host"}
        try:
            async with self._session.get(self._target + request.raw_path, headers=asked) as answer:
                headers = {
                    name: value for name, value in answer.headers.items() if name.startswith(_PASSED_ON)
                }
                reply = Reply(status=answer.status, headers=headers, body=await answer.read())
        except (aiohttp.ClientError, OSError, RuntimeError):
            # As Consul does, when it is killed: the connection ends.
            assert request.transport is not None
            request.transport.abort()
            return Reply(status=502)
        return self.change(request.path, reply)
