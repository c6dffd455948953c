"""An Envoy beside a server in this process, without Consul: quick, and fed by the test itself.

async with NearWorld(directory, mode="delta") as world:
    user = await world.upstream("user")
    world.feed(user=[user.port])
    await world.start_envoy()
    answer = await world.get("user")

As in `World`, what is said is recorded and has to be right in the end.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from tests.rig.envoy import Envoy
from tests.rig.fault_proxy import FaultProxy
from tests.rig.load import Answer, ask
from tests.rig.ports import free_port
from tests.rig.recorder import Recorder
from tests.rig.upstream import Upstream
from tests.rig.verdict import verdict
from tests.runtime.inputs import LOOPBACK, Inputs
from tests.transport.serving import Serving, serving
from xds_server.model.catalog import Catalog, Instance, Service, Status
from xds_server.model.policy import DEFAULT_LISTENER, ServicePolicy


class NearWorld:
    """The server from the start, on `options` of `XdsServerOptions`; the Envoy from `start_envoy` on.

    Between the recorder and the server is `way`, which can be made slow or be closed.
    """

    def __init__(self, directory: Path, mode: str, **options: Any) -> None:
        self.directory = directory
        self.mode = mode
        self.http_port = free_port()
        self.inputs = Inputs()
        self.recorder = Recorder()
        self.serving: Serving
        self.way: FaultProxy
        self.envoy: Envoy
        self.envoys: list[Envoy] = []
        self.failed = False
        """Whether the test has failed already, so that nothing more is to be said of it."""
        self.stack = contextlib.AsyncExitStack()
        self._options = options

    async def __aenter__(self) -> Self:
        enter = self.stack.enter_async_context
        await enter(self.recorder)
        self.serving = await enter(serving(self.inputs, drain=0.0, **self._options))
        self.way = await enter(FaultProxy(self.serving.port))
        self.rule()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and not self.failed:
                await verdict(self.recorder, self.envoys)
        finally:
            await self.stack.aclose()

    async def upstream(self, name: str, **options: Any) -> Upstream:
        """Start an instance that answers `name`; nobody is told of it."""
        return await self.stack.enter_async_context(Upstream(name, **options))

    def feed(self, **services: Sequence[int]) -> None:
        """Publish a catalog: the services with the ports of their instances on 127.0.0.1, all passing."""
        made = (
            Service.of(name, [_instance(name, port) for port in ports]) for name, ports in services.items()
        )
        self.inputs.catalog.publish(Catalog.of("dc1", made))

    def rule(self, services: dict[str, ServicePolicy] | None = None, **policy: Any) -> None:
        """Publish a policy, its default listener on `http_port` unless it has listeners."""
        listener = replace(DEFAULT_LISTENER, address="127.0.0.1", port=self.http_port)
        given = {"listeners": (listener,), "services": MappingProxyType(services or {}), **policy}
        self.inputs.policy.publish(replace(LOOPBACK, **given))

    async def start_envoy(self, *, live_within: float | None = 10.0, **options: Any) -> Envoy:
        """Start an Envoy and wait until it is live, unless that is None; `options` are those of `Envoy`."""
        given = {"mode": self.mode, **options}
        address = await self.recorder.tap(("127.0.0.1", self.way.port))
        self.envoy = Envoy(self.directory, servers=[address], **given)
        self.envoys.append(self.envoy)
        self.stack.push_async_callback(self.envoy.stop)
        await self.envoy.start(live_within=live_within)
        return self.envoy

    async def get(self, host: str) -> Answer:
        """Ask the default listener for a host."""
        return await ask(f"http://127.0.0.1:{self.http_port}/", host=host)


def _instance(service: str, port: int) -> Instance:
    return Instance(
        node="n1", id=f"{service}-{port}", address="127.0.0.1", port=port, statuses=(Status.PASSING,)
    )
