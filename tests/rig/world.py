"""The whole way on one machine: Consul, xds-server, Envoy, and the instances of services, all on loopback.

async with World(directory, mode="delta") as world:
    await world.instance("user")
    await world.start()
    answer = await world.get("user")

What Envoys and servers say to each other is recorded, and has to be right when the world is left:
`tests/rig/conversation.py` has the rules; `world.recorder.excuse(reason, rule)` lets a test break one.
"""

import contextlib
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.rig.consul_agent import ConsulAgent
from tests.rig.consul_api import ConsulApi
from tests.rig.conversation import Rule
from tests.rig.envoy import Envoy
from tests.rig.eventually import eventually
from tests.rig.load import Answer, Load, ask
from tests.rig.ports import free_port
from tests.rig.recorder import Recorder
from tests.rig.server import XdsServer
from tests.rig.upstream import Upstream
from tests.rig.verdict import verdict


class World:
    """Consul from the start; the server and the Envoy from `start` on. Leaving it leaves nothing behind.

    `consul` is one that runs already and is not this world's to end.
    """

    def __init__(self, directory: Path, mode: str, consul: ConsulApi | None = None) -> None:
        self.directory = directory
        self.mode = mode
        self.http_port = free_port()
        self.consul: ConsulApi = consul or ConsulAgent()
        self.recorder = Recorder()
        self.server: XdsServer
        self.envoy: Envoy
        self.envoys: list[Envoy] = []
        self.kind_of_server: type[XdsServer] = XdsServer
        self.kind_of_envoy: Any = Envoy
        self.failed = False
        """Whether the test has failed already, so that nothing more is to be said of it."""
        self.stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.stack.enter_async_context(self.recorder)
        if isinstance(self.consul, ConsulAgent):
            await self.stack.enter_async_context(self.consul)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and not self.failed:
                await verdict(self.recorder, self.envoys)
        finally:
            await self.stack.aclose()

    async def instance(
        self,
        service: str,
        name: str = "",
        *,
        register: bool = True,
        tls: ssl.SSLContext | None = None,
        **registration: Any,
    ) -> Upstream:
        """Start an instance that answers `name` (the service's if not given), and register it under it as id.

        `registration` goes to `ConsulAgent.register`.
        """
        upstream = await self.stack.enter_async_context(Upstream(name or service, tls=tls))
        if register:
            await self.register(service, upstream, **registration)
        return upstream

    async def register(self, service: str, upstream: Upstream, **registration: Any) -> None:
        """Register an instance, or change its registration."""
        await self.consul.register(service, port=upstream.port, id=upstream.name, **registration)

    async def start(self, settings: dict[str, Any] | None = None) -> None:
        """Start the server, wait until it is ready, then start Envoy and wait until it is live."""
        await self.start_server(settings)
        await self.start_envoy()

    async def start_server(
        self,
        settings: dict[str, Any] | None = None,
        *,
        consul_port: int | None = None,
        name: str = "xds-server",
        ready_within: float = 60.0,
    ) -> XdsServer:
        """Start a server on the settings; `consul_port` is another way to Consul than the direct one."""
        scheme = self.consul.address.partition(":")[0]
        source = f"{scheme}://127.0.0.1:{consul_port or self.consul.http_port}"
        self.server = self.kind_of_server(
            self.directory, ("--consul", source), self.settings(settings), name=name
        )
        # One that does not come up has to go away, too.
        self.stack.push_async_callback(self.server.stop)
        await self.server.start(ready_within=ready_within)
        return self.server

    async def start_envoy(self, **options: Any) -> Envoy:
        """Start an Envoy of this world's server and mode; `options` are those of `Envoy`, and go before.

        Its way to every server leads through the recorder.
        """
        servers = options.pop("servers", None) or [self.server.address]
        if options.get("tls") is not None:
            self.recorder.excuse("the channel is encrypted", Rule.READABLE)
        given = {"mode": self.mode, **options, "servers": [await self.recorder.tap(one) for one in servers]}
        self.envoy = self.kind_of_envoy(self.directory, **given)
        self.envoys.append(self.envoy)
        self.stack.push_async_callback(self.envoy.stop)
        await self.envoy.start()
        return self.envoy

    def settings(self, settings: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give settings with the default listener on `http_port` if they say nothing of it."""
        return {"default_listener": {"address": f"127.0.0.1:{self.http_port}"}, **(settings or {})}

    @property
    def url(self) -> str:
        """The default listener."""
        return f"http://127.0.0.1:{self.http_port}/"

    async def get(self, host: str) -> Answer:
        """Ask the default listener for a host."""
        return await ask(self.url, host=host)

    def load(self, host: str, **options: Any) -> Load:
        """Give a load on the default listener."""
        return Load(self.url, host=host, **options)

    async def serving(self, host: str, *names: str) -> None:
        """Wait until every one of these instances has answered for a host, and answers are good."""
        missing = set(names)

        async def all_answered() -> bool:
            missing.discard((await self.get(host)).body)
            return not missing

        await eventually(all_answered)
