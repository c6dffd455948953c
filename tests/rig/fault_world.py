"""A world in which something goes wrong with Consul while requests go through Envoy.

Consul <- answers (HTTP) <- way (TCP) <- xds-server <- Envoy <- a steady load on each service
          ( where they are asked for )

    async with FaultWorld(directory, consul, way=True) as world:
        await world.start()
        world.way.frozen = True
        await world.holds(8.0)
        world.way.frozen = False
        await world.converges(within=10.0)
"""

import asyncio
import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.rig.answer_proxy import AnswerProxy
from tests.rig.consul_api import ConsulApi
from tests.rig.eventually import eventually
from tests.rig.fault_proxy import FaultProxy
from tests.rig.load import Answer, Load
from tests.rig.upstream import Upstream
from tests.rig.world import World

# Each with the names of its instances.
SERVICES: Final = {
    "user": ("user-1", "user-2"),
    "order": ("order-1",),
    "cart": ("cart-1", "cart-2", "cart-3"),
}
_PAUSE: Final = 0.02
_LOOK_EVERY: Final = 0.2


class FaultWorld(World):
    """`start` brings everything up to a steady state, which is what the fault must not cost.

    Between Consul and the server are `answers` and a `way` if asked for, for the test to spoil. `figures` is
    what was measured, for the report.
    """

    registered: dict[str, list[Upstream]]
    """The instances of each service that were there before the fault."""

    def __init__(
        self, directory: Path, consul: ConsulApi, *, way: bool = False, answers: bool = False
    ) -> None:
        super().__init__(directory, "delta", consul)
        assert consul.http_port is not None
        self.consul_port = consul.http_port
        """Where the server finds Consul."""
        self.way: FaultProxy
        self.answers: AnswerProxy
        self._has_way = way
        self._has_answers = answers
        self.loads: list[Load] = []
        self.figures: dict[str, float] = {}
        self.registered = defaultdict(list)
        self.healthy = True
        """Whether endpoints have to stay healthy, too: not where Consul itself calls them critical."""
        self._had: dict[str, frozenset[str]] = {}
        self._fresh = 0

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._has_answers:
            self.answers = await self.stack.enter_async_context(AnswerProxy(self.consul_port))
            self.consul_port = self.answers.port
        if self._has_way:
            self.way = await self.stack.enter_async_context(FaultProxy(self.consul_port))
            self.consul_port = self.way.port
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.finish()
        except AssertionError as failure:
            await super().__aexit__(type(failure), failure, None)
            raise
        await super().__aexit__(kind, error, trace)

    # --- before the fault

    async def start(self, settings: dict[str, Any] | None = None, *, ready_within: float = 15.0) -> None:
        """Register the services, start everything, and wait until all of it takes requests."""
        await self.register_all()
        await self.start_server(settings, consul_port=self.consul_port, ready_within=ready_within)
        await self.start_envoy()
        for service, names in SERVICES.items():
            await self.serving(service, *names)
        await self.begin()

    async def register_all(self) -> None:
        """Start and register the instances of all services."""
        for service, names in SERVICES.items():
            for name in names:
                self.registered[service].append(await self.instance(service, name))

    async def begin(self) -> None:
        """Take what Envoy has now as what it must keep, and begin the load."""
        self._had = await self._has()
        for service in SERVICES:
            load = self.load(service, workers=1, pause=_PAUSE)
            self.loads.append(await self.stack.enter_async_context(load))

    # --- during the fault

    async def holds(self, seconds: float) -> None:
        """Look on for so many seconds: nothing is lost and no request fails."""
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            await self.unharmed()
            await asyncio.sleep(_LOOK_EVERY)

    async def unharmed(self) -> None:
        """Check that no request has failed and that Envoy has all it had, and has rejected nothing."""
        assert not self.failures, self.failures[:3]
        now = await self._has()
        lost = {name: hosts - now.get(name, frozenset()) for name, hosts in self._had.items()}
        assert not any(lost.values()), f"lost: { {name: hosts for name, hosts in lost.items() if hosts} }"
        assert self._had.keys() <= now.keys(), f"lost: {self._had.keys() - now.keys()}"
        await self.envoy.updates()

    def gives_up(self, *services: str) -> None:
        """Allow these services to change or to go."""
        for service in services:
            self._had.pop(service, None)

    async def state(self, datacenter: str = "dc1") -> str:
        """Give the server's word on a datacenter: live, stale or frozen."""
        sources = json.loads(await self.server.text("/state"))["sources"]
        states = {source["source"]: source["state"] for source in sources}
        return str(states[f"consul {datacenter}"])

    async def until_state(self, *states: str, datacenter: str = "dc1", within: float = 20.0) -> None:
        """Wait until the server's word is one of these."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        ask = partial(self.state, datacenter)
        word = await eventually(ask, lambda state: state in states, within=within, every=0.1)
        self.figures[f"{word}_after_s"] = round(loop.time() - asked, 1)

    # --- after it

    async def converges(self, within: float, *, since: float | None = None) -> float:
        """Give the seconds until an instance that is registered now takes requests, since a loop time or now.

        Where Consul is not writable yet, the registration is tried again and again. Afterwards the state is
        live, and everything of before is still there. Raises AssertionError if it takes longer.
        """
        loop = asyncio.get_running_loop()
        healed = loop.time() if since is None else since
        self._fresh += 1
        name = f"fresh-{self._fresh}"
        upstream = await self.instance("user", name, register=False)
        await eventually(lambda: self.register("user", upstream), lambda _: True, within=within, every=0.1)
        await eventually(lambda: upstream.requests > 0, within=healed + within - loop.time())
        took = loop.time() - healed
        self.figures["converged_after_s"] = round(took, 2)
        await self.until_state("live", within=within)
        assert await self.server.status("/readyz") == 200
        await self.unharmed()
        return took

    async def finish(self) -> None:
        """End the load, note its figures, and check that no request has failed."""
        for load in self.loads:
            await load.stop()
        self.figures["requests"] = sum(len(load.answers) for load in self.loads)
        self.figures["failed"] = len(self.failures)
        assert not self.failures, self.failures[:3]

    @property
    def failures(self) -> list[Answer]:
        """Every answer so far that was not 200."""
        return [failure for load in self.loads for failure in load.failures]

    async def _has(self) -> dict[str, frozenset[str]]:
        clusters = await self.envoy.clusters()
        return {
            name: frozenset(
                address for address, host in hosts.items() if host.eds == "HEALTHY" or not self.healthy
            )
            for name, hosts in clusters.items()
        }
