"""The only writer of snapshots: from the newest catalog, policy and secrets to what every stream reads."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from xds_server import telemetry
from xds_server.model.catalog import Catalog
from xds_server.model.hold import Hold
from xds_server.model.policy import Policy
from xds_server.model.problem import Problem
from xds_server.model.proxy import Client, Group, Proxy
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.model.withheld import Withheld
from xds_server.runtime.building import Builder
from xds_server.runtime.debounce import Pace, bursts
from xds_server.runtime.history import History, Past
from xds_server.runtime.kind import Kind
from xds_server.runtime.latest import Latest
from xds_server.runtime.line import Inputs, Line
from xds_server.runtime.vetting import Judge, Preflight, Vetting
from xds_server.snapshot import EMPTY, Snapshot
from xds_server.telemetry import Event, log
from xds_server.translate.origins import origin

MAX_KINDS: Final = 64
"""How many kinds of clients are served at once; a kind is what a client says of itself, so it is bounded."""

MAX_GATEWAY_KINDS: Final = 2_048
"""How many kinds of gateways that Consul knows are served beside those."""

_UNREAD_WAITS: Final = 0.01
"""Seconds for which the streams have the event loop after a change, before groups without one are built."""

_UNREAD: Final = Pace(quiet=0.25, at_most=1.0)
"""How often those are: people look at them, in `/problems` and the metrics, and only they."""

_OFFER_EVERY: Final = 2.0
"""Seconds between two looks at what is withheld and may be offered again; `Kind` decides."""

_RESOURCES: Final = {one.short: telemetry.SNAPSHOT_RESOURCES.labels(one.short) for one in TypeUrl}

EVERYONE: Final = Group(static_clusters=())
"""The group that is built whether or not a proxy is connected; `/problems` and the metrics speak of it.

Like proxies with a bootstrap of ours it has routes that name no plain service, so that one more costs itself.
"""


class TooManyKindsError(Exception):
    """More kinds of clients are connected than this server builds snapshots for."""


class Pipeline:
    """Builds a snapshot for each group of connected proxies whenever an input changes."""

    def __init__(
        self,
        catalog: Latest[Catalog],
        policy: Latest[Policy],
        secrets: Latest[Secrets],
        pace: Pace,
        preflight: tuple[Preflight, Judge] | None = None,
    ) -> None:
        self._catalog = catalog
        self._policy = policy
        self._secrets = secrets
        self._pace = pace
        self._preflight = preflight
        self._changed = asyncio.Event()
        self._unread = asyncio.Event()
        self._builder = Builder(self._inputs, self._changed.set)
        self._lines: dict[Group, Line] = {EVERYONE: self._line(EVERYONE)}
        self.history = History()
        """The catalogs and policies that were served last."""
        self.others: list[Callable[[], Iterable[Problem]]] = []
        """Who else tells of problems: guards, monitors."""
        self._open = 0
        """How many streams there are."""
        self._pin: Past | None = None
        self._served: Inputs | None = None
        """What anyone is served was made of, where the sources are followed."""
        self._restored: dict[tuple[Group, str], Withheld] = {}

    @property
    def snapshot(self) -> Latest[Snapshot]:
        """The snapshots of the group that is always built; empty until the first sync."""
        return self._lines[EVERYONE].snapshot

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of what is served now, to anyone."""
        found: set[Problem] = set()
        for group, line in self._lines.items():
            if line.snapshot.value is not None and (line.open or group == EVERYONE):
                found.update(line.snapshot.value.problems)
            for kind in line.kinds.values():
                found.update(kind.problems(self._origin))
        for tell in self.others:
            found.update(tell())
        return tuple(sorted(found))

    @property
    def ready(self) -> bool:
        """Whether there is a snapshot to serve."""
        return self.snapshot.value is not None

    @property
    def behind(self) -> int | None:
        """How often was built, if something that is served is not of the inputs there are; None if all is."""
        inputs = self._inputs()
        served = [line for line in self._lines.values() if line.open or line.snapshot is self.snapshot]
        if inputs is None or all(inputs.same(line.made) for line in served):
            return None
        return sum(line.builds for line in served)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What the empty guard holds of what is served now, to anyone."""
        lines = (line for line in self._lines.values() if line.open or line.snapshot is self.snapshot)
        found = {hold.id: hold for line in lines for hold in line.emptying.holds}
        return tuple(sorted(found.values()))

    def accept(self, hold_id: str | None) -> tuple[Hold, ...]:
        """Release a hold of the empty guard, or with None every one; give those that were released."""
        found: dict[str, Hold] = {}
        for line in self._lines.values():
            if accepted := line.emptying.accept(hold_id):
                found.update({hold.id: hold for hold in accepted})
                line.again()
                self._changed.set()
        return tuple(sorted(found.values()))

    # --- the operator's hand -----------------------------------------------------------------------------

    @property
    def pinned(self) -> Past | None:
        """What is served whatever the sources say; None while they are followed."""
        return self._pin

    @property
    def present(self) -> Past | None:
        """The state that is served; None before the first. What came since it was noted belongs to it."""
        states, served = self.history.states, self._served
        if self._pin is not None or not states or served is None:
            return self._pin
        return replace(states[-1], catalog=served.catalog, policy=served.policy)

    def pin(self, past: Past | None) -> None:
        """Serve this state of catalog and policy from now on, or follow the sources again with None.

        Secrets are followed all the same: an old certificate helps nobody.
        """
        self._pin = past
        self._changed.set()

    # --- clients -----------------------------------------------------------------------------------------

    @contextmanager
    def join(self, proxy: Proxy) -> Iterator[Kind]:
        """Give the kind that clients like this one belong to, for as long as a stream of it is open.

        What it is served may be old, or not there yet: wait for `newest`. Raises TooManyKindsError where it
        would be one more kind than this server builds for.
        """
        line = self._lines.get(proxy.group)
        if line is None or proxy.agent not in line.kinds:
            self._make_room(proxy.group)
            line = self._lines.setdefault(proxy.group, line or self._line(proxy.group))
            kind = line.kinds[proxy.agent] = Kind()
            if (known := self._restored.pop((proxy.group, proxy.agent), None)) is not None:
                kind.restore(known, time.time())
            if line.snapshot.value is not None:
                kind.publish(line.snapshot.value)
        line.enter(proxy.agent)
        self._open += 1
        try:
            yield line.kinds[proxy.agent]
        finally:
            line.leave(proxy.agent)
            self._open -= 1

    async def newest(self, proxy: Proxy) -> Snapshot:
        """Give what a client that has joined is served, made from the inputs there are now; wait for it."""
        line = self._lines[proxy.group]
        while (inputs := self._inputs()) is not None and not inputs.same(line.tried):
            self._changed.set()
            await line.round_done()
        return await line.kinds[proxy.agent].snapshots.get()

    def withheld(self) -> tuple[Withheld, ...]:
        """Give what clients rejected and nobody accepted, to be known after a restart."""
        found = [
            kind.withheld(group, agent)
            for group, line in self._lines.items()
            for agent, kind in line.kinds.items()
        ]
        return (*(one for one in found if one is not None), *self._restored.values())

    def restore(self, withheld: Iterable[Withheld]) -> None:
        """Take over what a process before this one knew of clients that are still to come."""
        self._restored = {(one.group, one.agent): one for one in tuple(withheld)[:MAX_KINDS]}

    def _origin(self, type_url: TypeUrl, name: str) -> str:
        """Name the object that has to be mended where a resource is bad."""
        catalog, policy = self._catalog.value, self._policy.value
        if catalog is None or policy is None:
            return f"{type_url.short} {name}"
        return origin(type_url, name, catalog, policy)

    async def _offer_again(self) -> None:
        """Give what is withheld from clients another chance now and then, for ever."""
        while True:
            await asyncio.sleep(_OFFER_EVERY)
            for line in self._lines.values():
                for kind in line.kinds.values():
                    kind.offer_again(time.time())

    def _make_room(self, newcomer: Group) -> None:
        """Forget the kind without streams that has been known longest, if there are too many of its sort."""
        sort = self._is_known_gateway(newcomer)
        most = MAX_GATEWAY_KINDS if sort else MAX_KINDS
        # To tell them apart takes ten times as long.
        if sum(len(line.kinds) for line in self._lines.values()) < most:
            return
        known = [
            (group, agent)
            for group, line in self._lines.items()
            for agent in line.kinds
            if self._is_known_gateway(group) == sort
        ]
        if len(known) < most:
            return
        idle = next((one for one in known if not self._lines[one[0]].streams[one[1]]), None)
        if idle is None:
            raise TooManyKindsError
        group, agent = idle
        line = self._lines[group]
        del line.kinds[agent]
        if not line.kinds and group != EVERYONE:
            self._builder.lines.drop(self._lines.pop(group))

    def _is_known_gateway(self, group: Group) -> bool:
        catalog = self._catalog.value
        return catalog is not None and group.gateway in catalog.entries.gateways

    def _line(self, group: Group) -> Line:
        line = Line(group, self._builder.understanding)
        self._builder.lines.add(line)

        def build_again() -> None:
            line.again()
            self._changed.set()

        # An Envoy knows nothing of what gRPC clients load.
        if self._preflight is not None and group.client is Client.ENVOY:
            mode, judge = self._preflight
            line.vetting = Vetting(judge, build_again, blocks=mode is Preflight.BLOCK)
        return line

    # --- building ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Build at the pace of the changes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for values in (self._catalog.values(), self._policy.values(), self._secrets.values()):
                tasks.create_task(self._listen(values))
            tasks.create_task(self._offer_again())
            tasks.create_task(self._build_unread())
            async for _ in bursts(self._changed, self._pace):
                await self._build_all()

    async def _listen(self, values: AsyncIterator[Any]) -> None:
        async for _ in values:
            self._changed.set()

    def _inputs(self) -> Inputs | None:
        """Give what is to be served now; None while something is missing."""
        catalog, policy, secrets = self._catalog.value, self._policy.value, self._secrets.value
        if self._pin is not None:
            catalog, policy = self._pin.catalog, self._pin.policy
        if catalog is None or policy is None or secrets is None:
            return None
        return Inputs(catalog, policy, secrets, self._pin)

    async def _build_all(self) -> None:
        """Build what streams read; what nobody waits for is built once that is written, and less often."""
        is_read = bool(self._open)
        await self._builder.build(None if is_read else self._lines[EVERYONE], self._note)
        if is_read:
            self._unread.set()

    async def _build_unread(self) -> None:
        async for _ in bursts(self._unread, _UNREAD):
            await asyncio.sleep(_UNREAD_WAITS)
            everyone = self._lines[EVERYONE]
            if not everyone.open:
                await self._builder.build(everyone, self._note)

    def _note(self, line: Line, inputs: Inputs, differs: bool) -> None:
        """Note that a line serves what was made of these inputs."""
        if inputs.pin is None:
            self._served = inputs
        if line is not self._lines[EVERYONE]:
            return
        snapshot = line.snapshot.value or EMPTY
        if inputs.pin is None:
            past = Past(
                number=snapshot.sequence, at=time.time(), catalog=inputs.catalog, policy=inputs.policy
            )
            self.history.note(past, differs=differs)
        if differs:
            _report(snapshot)


def _report(snapshot: Snapshot) -> None:
    """Tell the metrics and the log what was published."""
    telemetry.READY.set(1)
    counts = {type_url.short: len(entries.by_name) for type_url, entries in snapshot.sets.items()}
    for short, count in counts.items():
        _RESOURCES[short].set(count)
    log(
        Event.SNAPSHOT_PUBLISHED,
        logging.DEBUG,
        sequence=snapshot.sequence,
        resources=" ".join(f"{short}={count}" for short, count in counts.items()),
    )
