"""A Consul that answers as a test tells it: like a real one, or with the next reply of a script."""

import asyncio
import contextlib
import itertools
import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.rig.consul_agent import free_ports

LIST = "/v1/catalog/services"
NODES = "/v1/catalog/nodes"
ANY = "/v1/health/state/any"
CRITICAL = "/v1/health/state/critical"
WARNING = "/v1/health/state/warning"


def health(name: str) -> str:
    return f"/v1/health/service/{name}"


def row(
    name: str,
    *,
    id: str = "",  # noqa: A002 - Consul's own word
    node: str = "n1",
    port: int = 80,
    **service: Any,
) -> dict[str, Any]:
    return {
        "Node": {"Node": node, "Address": "10.0.0.1", "Datacenter": "dc1"},
        "Service": {"ID": id or f"{name}-{port}", "Service": name, "Port": port, **service},
        "Checks": [{"CheckID": "serfHealth", "Status": "passing", "Output": "Agent alive"}],
    }


@dataclass(frozen=True, kw_only=True)
class Reply:
    """`cut_after` seconds ends the connection, with what was written of the body; `hang` never answers.

    With `drip` the body goes on for ever, a byte at a time.
    """

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=lambda: {"X-Consul-Index": "7"})
    cut_after: float | None = None
    hang: bool = False
    drip: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    path: str
    index: int
    headers: Mapping[str, str]
    query: Mapping[str, str]


class FakeConsul:
    """Holds services and an index; `script` goes before them, one reply a request."""

    def __init__(self) -> None:
        self.services: dict[str, list[dict[str, Any]]] = {"consul": [row("consul", port=8300)]}
        self.index = 10
        self.headers: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.open = 0
        self.most_open = 0
        self.port = free_ports(1)[0]
        self._scripts: dict[str, deque[Reply]] = defaultdict(deque)
        self._always: dict[str, Iterator[Reply]] = {}
        self._moved: dict[str, int] = {}
        self._all_moved = self.index
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()

    def put(self, name: str, *rows: dict[str, Any]) -> None:
        """Set the instances of a service and wake who waits for it or for the list."""
        self.services[name] = list(rows)
        self.wake(LIST, health(name))

    def set_status(self, name: str, status: str, *, check: str = "") -> None:
        """Set a check of each instance of a service (of its node, without a name) and wake who is told so."""
        for one in self.services[name]:
            one["Checks"] = [each for each in one["Checks"] if each["CheckID"] != (check or "serfHealth")]
            one["Checks"].append(_check(one, check, status))
        self.wake(CRITICAL, WARNING, health(name))

    def drop(self, name: str) -> None:
        del self.services[name]
        self.wake(LIST, health(name))

    def wake(self, *paths: str) -> None:
        """Move the index of these paths, or of all."""
        self.index += 1
        if not paths:
            self._moved.clear()
            self._all_moved = self.index
        for path in paths:
            self._moved[path] = self.index
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def script(self, path: str, *replies: Reply) -> None:
        """The next requests for `path` get these, and who waits is woken to come for them."""
        self._scripts[path].extend(replies)

    def always(self, path: str, *replies: Reply | None) -> None:
        """All requests for `path` get these in turn, until None."""
        self._always.pop(path, None)
        if told := [reply for reply in replies if reply is not None]:
            self._always[path] = itertools.cycle(told)

    def count(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)

    async def until_asked(self, path: str, times: int) -> None:
        """Wait until `path` was asked for so often."""
        while self.count(path) < times:  # noqa: ASYNC110 - a test waits on a fact
            await asyncio.sleep(0.005)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        index = int(request.query.get("index", 0))
        self.asked.append(
            Asked(
                path=request.raw_path.partition("?")[0],
                index=index,
                headers=request.headers,
                query=request.query,
            )
        )
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self._reply(request, index)
        finally:
            self.open -= 1

    async def _reply(self, request: web.Request, index: int) -> web.StreamResponse:
        path = request.path
        if script := self._scripts[path]:
            return await self._scripted(request, script.popleft())
        if path in self._always:
            return await self._scripted(request, next(self._always[path]))
        if index >= self._index_of(path):
            wait = float(request.query["wait"].removesuffix("ms")) / 1000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while index >= self._index_of(path):
                        await self._changed.wait()
            if script := self._scripts[path]:
                return await self._scripted(request, script.popleft())
        body = self._body(path)
        headers = {
            "X-Consul-Index": str(self._index_of(path)),
            "X-Consul-KnownLeader": "true",
            **self.headers,
        }
        return web.Response(body=json.dumps(body), headers=headers)

    def _body(self, path: str) -> Any:
        if path == LIST:
            return {
                name: sorted({tag for one in rows for tag in one["Service"].get("Tags", ())})
                for name, rows in self.services.items()
            }
        rows = [one for rows in self.services.values() for one in rows]
        if path == NODES:
            return [*{one["Node"]["Node"]: one["Node"] for one in rows}.values()]
        if path.startswith("/v1/health/state/"):
            status = path.rpartition("/")[2]
            checks = [_of(one, check) for one in rows for check in one["Checks"]]
            return [check for check in checks if status in ("any", check["Status"])]
        return self.services.get(path.rpartition("/")[2], [])

    def _index_of(self, path: str) -> int:
        return max(self._moved.get(path, 0), self._all_moved)

    @staticmethod
    async def _scripted(request: web.Request, reply: Reply) -> web.StreamResponse:
        body = reply.body if isinstance(reply.body, bytes | str) else json.dumps(reply.body)
        data = body.encode() if isinstance(body, str) else body
        if reply.hang:
            await asyncio.sleep(3600)
        if reply.drip:
            endless = web.StreamResponse(status=reply.status, headers=reply.headers)
            await endless.prepare(request)
            while True:
                await endless.write(b" ")
                await asyncio.sleep(0.02)
        if reply.cut_after is None:
            return web.Response(status=reply.status, body=data, headers=reply.headers)
        await asyncio.sleep(reply.cut_after)
        if data:
            response = web.StreamResponse(
                status=reply.status, headers={**reply.headers, "Content-Length": str(len(data) + 100)}
            )
            await response.prepare(request)
            await response.write(data)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


def _check(row: dict[str, Any], check: str, status: str) -> dict[str, Any]:
    return {"CheckID": check or "serfHealth", "Status": status, "ServiceID": check and row["Service"]["ID"]}


def _of(row: dict[str, Any], check: dict[str, Any]) -> dict[str, Any]:
    """Give a check as the lists of checks have it."""
    own = {"ServiceName": row["Service"]["Service"]} if check.get("ServiceID") else {}
    return {"Node": row["Node"]["Node"], "ServiceID": "", "ServiceName": "", **check, **own}
