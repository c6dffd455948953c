"""One small HTTP service that registers itself in Consul: `python -m xds_server.demo.service NAME --port P`.

`GET /` answers who it is; with the name `order` it also asks the service `user`, through Envoy. `POST /fail`
makes it answer 503 and `POST /recover` ends that; `GET /health`, which Consul's check asks, stays well, so
that it is Envoy's outlier detection one sees at work. SIGTERM deregisters it first.
"""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import click
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from xds_server.demo.registration import Registrar, Registration

_CALLS: Final = {"order": "user"}
_UPSTREAM_TIMEOUT: Final = ClientTimeout(total=5)
# Between leaving Consul and closing the port: Envoy hears of it in milliseconds, requests on their way end.
_DRAIN_SECONDS: Final = 0.3
_UPSTREAM: Final = web.AppKey("upstream", ClientSession)


@dataclass(slots=True, kw_only=True)
class Instance:
    """Who this process is, and whether it fails at present."""

    service: str
    id: str
    upstream: str
    failing: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        """Answer `GET /...`: who and what; 503 while it fails; with the answer of the service it calls."""
        body: dict[str, object] = {"service": self.service, "instance": self.id, "path": request.path}
        if self.failing:
            return _json({**body, "error": "failing until POST /recover"}, status=503)
        if callee := _CALLS.get(self.service):
            body[callee] = await _call(request.app[_UPSTREAM], self.upstream, callee)
        return _json(body)

    async def health(self, _: web.Request) -> web.Response:
        """Answer Consul's check: well, as long as the process is."""
        return _json({"status": "passing"})

    async def fail(self, _: web.Request) -> web.Response:
        """Answer 503 from now on."""
        self.failing = True
        return _json({"instance": self.id, "failing": True})

    async def recover(self, _: web.Request) -> web.Response:
        """Answer well again."""
        self.failing = False
        return _json({"instance": self.id, "failing": False})


def make_app(instance: Instance) -> web.Application:
    """Make the application of one instance."""
    app = web.Application()
    app.router.add_get("/health", instance.health)
    app.router.add_post("/fail", instance.fail)
    app.router.add_post("/recover", instance.recover)
    app.router.add_get("/{path:.*}", instance.answer)

    app.cleanup_ctx.append(_upstream_session)
    return app


async def serve(instance: Instance, bind: str, port: int, registrar: Registrar | None) -> None:
    """Listen, stay registered, and at SIGTERM or SIGINT deregister, drain and end."""
    leave = asyncio.Event()
    for way in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(way, leave.set)
    runner = web.AppRunner(make_app(instance), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, bind, port, reuse_address=True).start()
        kept = asyncio.create_task(registrar.keep(), name="registration") if registrar else None
        await leave.wait()
        if kept is not None and registrar is not None:
            kept.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await kept
            await registrar.leave()
            await asyncio.sleep(_DRAIN_SECONDS)
    finally:
        await runner.cleanup()


@click.command()
@click.argument("name")
@click.option("--port", type=int, required=True, help="The port to listen on and to register.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--instance", default="", help="The instance's id. [default: NAME-PORT]")
@click.option(
    "--address", default="", help="The IP address to register. [default: its own on the way to Consul]"
)
@click.option("--consul", "consul_url", default="", help="Consul's URL; without it nothing is registered.")
@click.option("--weight", type=int, default=1, show_default=True, help="The weight in Consul while passing.")
@click.option(
    "--upstream", default="http://127.0.0.1:10000", show_default=True, help="Envoy, for calls to others."
)
def main(**given: Any) -> None:
    """Run one instance of the demo service NAME."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    name, port = given["name"], given["port"]
    instance = Instance(service=name, id=given["instance"] or f"{name}-{port}", upstream=given["upstream"])
    registration = Registration(
        name=name, id=instance.id, address=given["address"], port=port, weight=given["weight"]
    )
    registrar = Registrar(given["consul_url"], registration) if given["consul_url"] else None
    asyncio.run(serve(instance, given["bind"], port, registrar))


async def _upstream_session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession(timeout=_UPSTREAM_TIMEOUT) as session:
        app[_UPSTREAM] = session
        yield


async def _call(session: ClientSession, upstream: str, callee: str) -> object:
    """Give the answer of another service through Envoy; a failure is part of the answer, not of ours."""
    try:
        async with session.get(upstream, headers={"Host": callee}) as response:
            text = await response.text()
            if response.status != HTTPStatus.OK:
                return {"error": f"{callee} answered {response.status}: {text[:200]}"}
            return json.loads(text)
    except (ClientError, TimeoutError, ValueError) as error:
        return {"error": f"{callee} did not answer: {type(error).__name__}"}


def _json(body: dict[str, object], status: int = 200) -> web.Response:
    # One line per answer, so that a loop of curl is a list.
    return web.json_response(body, status=status, dumps=lambda value: json.dumps(value) + "\n")


if __name__ == "__main__":
    main()
