"""Stands between the source of the catalog and the pipeline, and lets through what the guards believe."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Protocol

from xds_server.guard import Decision, Evidence, GuardOptions, beginning, weigh
from xds_server.model.catalog import Catalog
from xds_server.model.hold import Hold
from xds_server.model.policy import Policy
from xds_server.model.problem import Code, Problem
from xds_server.model.standing import Standing, State
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event, log

_GRACE: Final = 5.0
"""Seconds for which the source may answer before what an earlier run served goes out."""

_LOGGED: Final = 20
"""How many holds that begin or end at the same moment are logged."""


class Holder(Protocol):
    """Who else holds something back."""

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What is held now."""

    def accept(self, hold_id: str | None) -> tuple[Hold, ...]:
        """Release one hold, or every one; give those that were released."""


class Guarding:
    """Weighs each catalog of `source`, and publishes in `out` what is believed of it.

    `restored` is what an earlier run served: what the first catalog is weighed against, and what goes out
    where there is none within 5 s. While one of the `standings` is not live the clocks of the holds stand.
    """

    def __init__(
        self,
        source: Latest[Catalog],
        policy: Latest[Policy],
        out: Latest[Catalog],
        options: GuardOptions,
        restored: Catalog | None = None,
        standings: Latest[tuple[Standing, ...]] | None = None,
    ) -> None:
        self._source = source
        self._policy = policy
        self._out = out
        self._options = options
        self._restored = restored
        self._standings: Latest[tuple[Standing, ...]] = standings or Latest(())
        self._state = beginning(restored)
        self._own: tuple[Hold, ...] = ()
        self._again: float | None = None
        self._others: list[Holder] = []
        self._changed = asyncio.Event()
        # A clock that shows Unix seconds and does not jump.
        self._offset = time.time() - time.monotonic()

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Everything that is held back now, also by those who were added."""
        found = {hold.id: hold for other in self._others for hold in other.holds}
        return tuple(sorted([*self._own, *found.values()]))

    def add(self, other: Holder) -> None:
        """Speak for somebody else who holds something back as well."""
        self._others.append(other)

    def problems(self) -> Iterator[Problem]:
        """Tell what is held back, one problem for each hold."""
        for hold in self.holds:
            sentence = f"{hold.sentence}; {hold.release}"
            yield Problem(code=Code.HELD_BACK, source=hold.id, sentence=sentence)

    def accept(self, hold_id: str | None) -> tuple[Hold, ...]:
        """Release one hold by its id, or every one with None; give those that were released."""
        released = [one for one in self._own if hold_id in (None, one.id)]
        if released:
            self._weigh(frozenset(one.id for one in released))
        others = {one.id: one for other in self._others for one in other.accept(hold_id)}
        return tuple(sorted([*released, *others.values()]))

    async def run(self) -> None:
        """Weigh whenever something changes or a hold may end, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for values in (self._source.values(), self._policy.values(), self._standings.values()):
                tasks.create_task(self._listen(values))
            tasks.create_task(self._restore())
            while True:
                await self._wait()
                self._changed.clear()
                self._weigh(frozenset())

    async def _listen(self, values: AsyncIterator[Any]) -> None:
        async for _ in values:
            self._changed.set()

    async def _restore(self) -> None:
        """Let out what an earlier run served if the source takes its time."""
        if self._restored is None:
            return
        await asyncio.sleep(_GRACE)
        if self._source.value is None:
            self._out.publish(self._restored)

    async def _wait(self) -> None:
        left = None if self._again is None else max(0.0, self._again - self._now)
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
        except TimeoutError:
            return

    @property
    def _now(self) -> float:
        return self._offset + time.monotonic()

    def _weigh(self, accepted: frozenset[str]) -> None:
        candidate, policy = self._source.value, self._policy.value
        if candidate is None or policy is None:
            return
        standings = self._standings.value or ()
        evidence = Evidence(now=self._now, live=all(one.state is State.LIVE for one in standings))
        decision = weigh(self._state, candidate, evidence, policy, self._options, accepted)
        self._take(decision, accepted)

    def _take(self, decision: Decision, accepted: frozenset[str]) -> None:
        before, self._own = self._own, decision.holds
        self._state, self._again = decision.state, decision.again
        self._out.publish(decision.catalog)
        known, now = {one.id for one in before}, {one.id for one in self._own}
        for hold in [one for one in self._own if one.id not in known][:_LOGGED]:
            log(
                Event.GUARD_HELD,
                logging.WARNING,
                hold=hold.id,
                held=len(now),
                reason=hold.sentence,
                release=hold.release,
            )
        for hold in [one for one in before if one.id not in now][:_LOGGED]:
            log(Event.GUARD_RELEASED, hold=hold.id, accepted=hold.id in accepted, held=len(now))
