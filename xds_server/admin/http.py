"""The routes of the admin port, in the same event loop as everything else."""

import ssl
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from xds_server import telemetry
from xds_server.snapshot import Snapshot

SnapshotsReader = Callable[[], tuple[Snapshot, ...]]

_SNAPSHOTS: Final[web.AppKey[SnapshotsReader]] = web.AppKey("snapshots")


def application(snapshots: SnapshotsReader) -> web.Application:
    """Make the admin application.

    `snapshots` gives the newest snapshot of each group of proxies, none before the first sync.
    """
    app = web.Application()
    app[_SNAPSHOTS] = snapshots
    app.add_routes(
        [
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get("/metrics", _metrics),
            web.get("/problems", _problems),
        ]
    )
    return app


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    if not request.app[_SNAPSHOTS]():
        return web.Response(status=503, text="not ready: the catalog was not read yet\n")
    return web.Response(text="ready\n")


async def _metrics(_request: web.Request) -> web.Response:
    body = generate_latest(telemetry.REGISTRY)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _problems(request: web.Request) -> web.Response:
    problems = {problem for snapshot in request.app[_SNAPSHOTS]() for problem in snapshot.problems}
    return web.json_response({"problems": [asdict(problem) for problem in sorted(problems)]})


class AdminServer:
    """Listens for the admin application."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Bind and serve; give the port. Raises OSError where the address is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Close the port and finish."""
        await self._runner.cleanup()
