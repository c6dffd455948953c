"""The routes of the admin port, in the same event loop as everything else."""

import asyncio
import json
import ssl
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from xds_server import telemetry
from xds_server.admin.access import Access
from xds_server.admin.control import ControlRoutes
from xds_server.admin.courtesy import courtesy
from xds_server.admin.discovery import MAX_BODY, PATH, Discovery
from xds_server.admin.socket import AdminSocket, listen
from xds_server.admin.state import Sources
from xds_server.model.problem import Code
from xds_server.runtime.control import Control
from xds_server.runtime.load import Loads, LoadView, Row
from xds_server.runtime.pipeline import Pipeline

_PIPELINE: Final[web.AppKey[Pipeline]] = web.AppKey("pipeline")
_LOADS: Final[web.AppKey[Loads]] = web.AppKey("loads")
_SOURCES: Final[web.AppKey[Sources]] = web.AppKey("sources")
_CONTROL: Final[web.AppKey[Control]] = web.AppKey("control")

_COSTLY: Final = frozenset({"/metrics", "/problems", "/load", "/state"})


def application(
    pipeline: Pipeline,
    loads: Loads,
    sources: Sources | None = None,
    control: Control | None = None,
    access: Access | None = None,
) -> web.Application:
    """Make the admin application.

    It shows what the pipeline has made, of which sources, and what clients have reported. With `control` an
    operator acts, if `access` lets him.
    """
    app = web.Application(client_max_size=MAX_BODY, middlewares=[courtesy(_COSTLY)])
    app[_CONTROL] = control or Control(pipeline)
    app[_PIPELINE], app[_LOADS], app[_SOURCES] = pipeline, loads, sources or Sources()
    app.add_routes(
        [
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get("/state", _state),
            web.get("/metrics", _metrics),
            web.get("/problems", _problems),
            web.get("/load", _load),
            web.post(PATH, Discovery(pipeline).post),
            *ControlRoutes(app[_CONTROL], access or Access()).routes(),
        ]
    )
    return app


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    sources = request.app[_SOURCES]
    ready = request.app[_PIPELINE].ready and sources.reachable
    text = sources.readiness(
        ready=ready, verbose="verbose" in request.query, operator=request.app[_CONTROL].standings
    )
    return web.Response(status=200 if ready else 503, text=text)


async def _state(request: web.Request) -> web.Response:
    control = request.app[_CONTROL]
    sources = request.app[_SOURCES]
    ready = request.app[_PIPELINE].ready and sources.reachable
    shown = sources.view(ready=ready, operator=control.standings)
    return web.json_response({**shown, "operator": control.view()})


async def _metrics(request: web.Request) -> web.Response:
    counts = Counter(problem.code for problem in request.app[_PIPELINE].problems)
    for code in Code:
        telemetry.PROBLEMS.labels(code).set(counts[code])
    request.app[_SOURCES].measure(request.app[_CONTROL].standings)
    body = generate_latest(request.app[_SOURCES].registry.value or telemetry.REGISTRY)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _problems(request: web.Request) -> web.Response:
    problems = request.app[_PIPELINE].problems
    return web.json_response({"problems": [asdict(problem) for problem in problems]})


async def _load(request: web.Request) -> web.Response:
    # There may be 100,000 rows, which take a second to write.
    body = await asyncio.to_thread(_text, request.app[_LOADS].view(time.time()))
    return web.json_response(text=body)


def _text(view: LoadView) -> str:
    return json.dumps({"rows": [_shown(row) for row in view.rows], "left_out": view.left_out})


def _shown(row: Row) -> dict[str, object]:
    return {
        "client": row.client,
        **row.place._asdict(),
        **asdict(row.total),
        "in_progress": row.in_progress,
        "rate": round(row.rate, 3),
        "since": row.since,
        "at": row.at,
    }


class AdminServer:
    """Listens for the admin application, on a port and on a unix socket."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self._socket: AdminSocket | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Bind and serve; give the port. Raises OSError where the address is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def open_socket(self, path: Path) -> None:
        """Serve on a unix socket, too, once the port is bound. Raises SocketError where that cannot be."""
        self._socket = listen(path)
        await web.SockSite(self._runner, self._socket.listening).start()

    async def stop(self) -> None:
        """Close the port and the socket, and finish."""
        if self._socket is not None:
            self._socket.remove()
        await self._runner.cleanup()
