"""One proxy group's way from inputs to snapshots, and on to each kind of client in it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from xds_server import telemetry
from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy
from xds_server.model.proxy import Group
from xds_server.model.secret import Secrets
from xds_server.model.steps import Steps
from xds_server.runtime.emptying import Emptying
from xds_server.runtime.history import Past
from xds_server.runtime.latest import Latest
from xds_server.runtime.slices import in_slices
from xds_server.runtime.standing import Standing
from xds_server.snapshot import EMPTY, Snapshot, building
from xds_server.snapshot.build import Origin
from xds_server.translate import Known, Translator, Understanding
from xds_server.translate.origins import origin

if TYPE_CHECKING:
    from xds_server.runtime.kind import Kind
    from xds_server.runtime.vetting import Vetting


@dataclass(frozen=True, slots=True)
class Inputs:
    """What snapshots are made of. They are told apart by identity.

    `pin` is the state that an operator chose, where he did.
    """

    catalog: Catalog
    policy: Policy
    secrets: Secrets
    pin: Past | None = None

    def same(self, other: "Inputs | None") -> bool:
        """Tell whether these are the very objects of the other."""
        return other is not None and (
            self.catalog is other.catalog and self.policy is other.policy and self.secrets is other.secrets
        )


class Line:
    """One group's way from inputs to snapshots, and on to each kind of client in it."""

    def __init__(self, group: Group, understanding: Understanding) -> None:
        self.translator = Translator(group, understanding)
        self.vetting: Vetting | None = None
        self.emptying = Emptying(group)
        self.snapshot: Latest[Snapshot] = Latest()
        self.kinds: dict[str, Kind] = {}
        self.streams: Counter[str] = Counter()
        """Open streams of each kind; those of none are remembered for when such a client comes again."""
        self.open = 0
        """How many there are of all kinds."""
        self.builds = 0
        """How often a build succeeded."""
        self.failures = 0
        """How often in a row a build failed."""
        self.retry: asyncio.TimerHandle | None = None
        self._tried: Inputs | None = None
        self._made: Inputs | None = None
        self._round: asyncio.Event | None = None
        self._standing: Standing | None = None

    @property
    def tried(self) -> Inputs | None:
        """What the newest snapshot was made from, or was to be."""
        return self._tried if self._standing is None else self._standing.inputs

    @property
    def made(self) -> Inputs | None:
        """What the newest snapshot was made from."""
        return self._made if self._standing is None else self._standing.inputs

    @property
    def stands(self) -> bool:
        """Whether it follows the inputs with others."""
        return self._standing is not None

    def stand(self, standing: Standing | None) -> None:
        """Follow the inputs with these others from now on, or with None alone from where they are."""
        # Old inputs are not to be held: each would be a catalog.
        self._tried = self._made = None if standing is not None else self.made
        self._standing = standing

    def again(self) -> None:
        """Let the next build make it, whatever it was made of."""
        if self._standing is not None:
            self._standing.leave(self)
        self._tried = None

    def enter(self, agent: str) -> None:
        """Count one stream more of a kind."""
        self.streams[agent] += 1
        self.open += 1

    def leave(self, agent: str) -> None:
        """Count one stream less."""
        self.streams[agent] -= 1
        self.open -= 1

    async def build(self, inputs: Inputs, wanted: Callable[[], bool]) -> bool:
        """Build in slices and publish; tell whether the snapshot differs from the one before.

        What is no longer `wanted` when it is built is not published.
        """
        previous = self.snapshot.value or EMPTY
        named = partial(origin, catalog=inputs.catalog, policy=inputs.policy)
        snapshot = await in_slices(self._steps(inputs, previous, named))
        if self.vetting is not None:
            snapshot = await self.vetting.vet(snapshot, previous, named)
        return wanted() and self.publish(snapshot, previous)

    def _steps(self, inputs: Inputs, previous: Snapshot, named: Origin) -> Steps[Snapshot]:
        translation = yield from self.translator.translating(inputs.catalog, inputs.policy, inputs.secrets)
        snapshot = yield from building(
            translation.drafts, translation.problems, previous, translation.derived, named
        )
        for entries in snapshot.sets.values():
            # Asked for by every SotW stream, and then at once.
            entries.version  # noqa: B018 - it is remembered
            yield
        return snapshot

    def publish(self, snapshot: Snapshot, previous: Snapshot) -> bool:
        """Publish what follows `previous`, unless something else does already; tell whether it differs."""
        if (self.snapshot.value or EMPTY) is not previous:
            telemetry.SNAPSHOT_BUILDS.labels("overtaken").inc()
            return False
        snapshot = self.emptying.guard(snapshot, previous)
        published = self.snapshot.publish(snapshot)
        for kind in self.kinds.values():
            kind.publish(snapshot)
        return published

    def succeeded(self, inputs: Inputs) -> None:
        """Note that what is served is of these inputs."""
        self._made, self.failures = inputs, 0
        self.builds += 1
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None

    async def round_done(self) -> None:
        """Wait until the round of building that is under way, or the next one, is over."""
        if self._standing is not None:
            await self._standing.moved()
            return
        self._round = self._round or asyncio.Event()
        await self._round.wait()

    def passes(self, inputs: Inputs, known: Known) -> bool:
        """Tell whether nothing of these inputs concerns the group; what is served is of them too then."""
        if self.tried is None or not self.tried.same(self.made):
            return False
        if not self.translator.passes(known, inputs.catalog, inputs.policy):
            return False
        self._made = inputs
        self.end_round(inputs)
        return True

    def end_round(self, tried: Inputs | None) -> None:
        """Note what was tried, and wake those who wait for it."""
        self._tried = tried
        if self._round is not None:
            self._round.set()
            self._round = None
