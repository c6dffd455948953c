"""What a judge outside of this process has to say of resources before they are served, or while they are.

The judge is slow, and may be missing or hang; so nothing but the resources it is asked about ever waits for
it, and only as long as it is sure to answer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

from xds_server import telemetry
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.protocol.blame import named_by
from xds_server.snapshot import EMPTY, Key, Origin, Resource, Snapshot, postpone, told_withheld
from xds_server.telemetry import Event, log

VETTED: Final = (TypeUrl.CLUSTER, TypeUrl.LISTENER, TypeUrl.ROUTES, TypeUrl.VIRTUAL_HOST)
"""What is vetted; endpoints change too often, and secrets are for nobody else's eyes."""

_REST: Final = 60.0
"""Seconds for which a judge is left alone that could not tell."""

_MOST_QUESTIONS: Final = 40
"""How often the judge is asked to find what is bad among the resources of one change."""


class Preflight(StrEnum):
    """What becomes of what an Envoy here would not load: nobody asks, it is told of, or it is withheld."""

    OFF = "off"
    WARN = "warn"
    BLOCK = "block"


class CannotTellError(Exception):
    """The judge has no answer; the text is a sentence that says why."""


Judge: TypeAlias = Callable[[Sequence[Resource]], Awaitable[str]]
"""Says what is wrong with resources, taken together: empty if nothing. Raises CannotTellError."""


class Vetting:
    """Vets the resources of one group: shows what the judge refuses, and with `blocks` withholds it.

    `wake` is called when there is news, so that the group is built once more.
    """

    def __init__(self, judge: Judge, wake: Callable[[], None], *, blocks: bool) -> None:
        self._judge = judge
        self._wake = wake
        self._blocks = blocks
        self._passed: set[str] = set()
        """Versions that are good, and not served yet."""
        self._bad: dict[Key, tuple[str, str]] = {}
        """Versions that are not, and what was said of them."""
        self._waiting: dict[str, Resource] = {}
        self._asking: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    async def vet(self, candidate: Snapshot, previous: Snapshot, origin: Origin) -> Snapshot:
        """Give what may follow `previous`: the candidate, or what of it is known to be good by now.

        Only the very first snapshot waits for the judge, who then looks at everything.
        """
        self._forget(candidate)
        changed = tuple(_changed(candidate, previous))
        self._ask([one for one in changed if not self._is_known(one)])
        if self._blocks and previous is EMPTY and self._asking is not None:
            await asyncio.wait([self._asking])
        pending = [one.key for one in changed if not self._is_known(one)] if self._blocks else []
        self._passed &= {one.version for one in changed}
        if not (self._bad or pending):
            return candidate
        problems = [self._problem(key, previous, origin) for key in self._bad]
        return postpone(candidate, previous, pending, self._bad if self._blocks else (), problems)

    def _is_known(self, resource: Resource) -> bool:
        bad = self._bad.get(resource.key)
        return resource.version in self._passed or (bad is not None and bad[0] == resource.version)

    def _forget(self, candidate: Snapshot) -> None:
        """Forget what was bad and is no more: it is gone, or another version of it came."""
        for key, (version, _) in tuple(self._bad.items()):
            now = candidate.resource(*key)
            if now is None or now.version != version:
                del self._bad[key]

    def _problem(self, key: Key, previous: Snapshot, origin: Origin) -> Problem:
        if self._blocks:
            told = told_withheld(key, previous.sets[key[0]].by_name.get(key[1]))
        else:
            told = f"{key[0].short} {key[1]} is served all the same"
        words = f"the Envoy beside this server would not load it: {self._bad[key][1]!a}"
        return Problem(code=Code.PREFLIGHT_REFUSED, source=origin(*key), sentence=f"{told}: {words}")

    # --- asking

    def _ask(self, resources: Sequence[Resource]) -> None:
        """Put a question; what a resting judge would be asked counts as good."""
        if time.monotonic() < self._rests_until:
            self._passed.update(one.version for one in resources)
            return
        self._waiting.update({one.version: one for one in resources})
        if self._waiting and self._asking is None:
            self._asking = asyncio.create_task(self._ask_on())

    async def _ask_on(self) -> None:
        """Ask until nothing waits for an answer."""
        try:
            while self._waiting:
                batch = tuple(self._waiting.values())
                bad = await self._ask_about(batch)
                for one in batch:
                    self._waiting.pop(one.version, None)
                    if text := bad.get(one.version):
                        self._bad[one.key] = one.version, text
                    else:
                        self._passed.add(one.version)
                self._wake()
        finally:
            self._asking = None

    async def _ask_about(self, batch: Sequence[Resource]) -> dict[str, str]:
        """Give what is wrong with each bad version of a batch."""
        started = time.perf_counter()
        try:
            bad = await _Inquiry(self._judge).bad_of(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is served must not depend on it
            self._rests_until = time.monotonic() + _REST
            telemetry.PREFLIGHTS.labels("unknown").inc()
            known = isinstance(error, CannotTellError)
            log(
                Event.PREFLIGHT_FAILED,
                logging.WARNING,
                error=str(error) if known else repr(error),
                resources=len(batch),
                again_in_s=_REST,
            )
            return {}
        telemetry.PREFLIGHTS.labels("refused" if bad else "passed").inc()
        telemetry.PREFLIGHT_SECONDS.observe(time.perf_counter() - started)
        for one in batch:
            if text := bad.get(one.version):
                log(Event.PREFLIGHT_REFUSED, logging.ERROR, type=one.type.short, name=one.name, error=text)
        return bad


class _Inquiry:
    """Finds what is bad in one batch, with a bounded number of questions."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._left = _MOST_QUESTIONS

    async def bad_of(self, batch: Sequence[Resource]) -> dict[str, str]:
        """Give what is said of each bad version."""
        if not batch or self._left <= 0:
            return {}
        self._left -= 1
        text = await self._judge(batch)
        if not text:
            return {}
        if len(batch) == 1 or self._left <= 0:
            # Who is out of questions lets nothing through that may be bad.
            return {one.version: text for one in batch}
        found: dict[str, str] = {}
        for part in _parts(batch, text):
            found |= await self.bad_of(part)
        # Each part may pass where the whole does not.
        return found or {one.version: text for one in batch}


def _parts(batch: Sequence[Resource], text: str) -> tuple[Sequence[Resource], Sequence[Resource]]:
    """Divide by whom the text names; where it names none or all, in the middle."""
    names = named_by(text, {one.name for one in batch})
    named = [one for one in batch if one.name in names]
    if named and len(named) < len(batch):
        return named, [one for one in batch if one.name not in names]
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def _changed(candidate: Snapshot, previous: Snapshot) -> Iterator[Resource]:
    changed = candidate.may_differ(previous)
    for type_url in VETTED:
        by_name = candidate.sets[type_url].by_name
        for name in sorted(changed.get(type_url, ())):
            if name in by_name:
                yield by_name[name]
