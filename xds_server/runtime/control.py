"""The operator's hand: freeze what is served, go back to what was served, release what a guard holds.

Each of these is a line in the log with who did it; so is each attempt that is refused.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from xds_server import telemetry
from xds_server.model.catalog import Catalog
from xds_server.model.hold import Hold
from xds_server.model.policy import Policy
from xds_server.model.standing import Standing, State
from xds_server.runtime.changes import Change, change
from xds_server.runtime.history import Past
from xds_server.runtime.latest import Latest
from xds_server.runtime.pipeline import Pipeline
from xds_server.telemetry import Event, log

OPERATOR: Final = "operator"
"""The source that `/state` and `/readyz` name while an operator decides what is served."""

MAX_REASON: Final = 200
"""Characters of a reason."""


class ControlError(Exception):
    """What an operator asks for cannot be done; the sentence says why and what to do."""


class Guards(Protocol):
    """What holds changes back: `runtime/guarding.py`."""

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What is held back now."""

    def accept(self, hold_id: str | None) -> tuple[Hold, ...]:
        """Release one hold, or all of them; give those that were released."""


class Kind(StrEnum):
    """How an operator came to decide what is served."""

    FROZEN = "frozen"
    ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What has to outlive a restart, besides the catalog that is served.

    `number` and `at` are those of the state in the history of the process that froze it; `since` is the Unix
    time at which `by` did so.
    """

    kind: Kind
    number: int
    at: float
    since: float
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pinned:
    """What is served whatever the sources say, and who decided so."""

    kept: Kept
    past: Past


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action: a sentence for the operator, and whether anything is different now."""

    sentence: str
    changed: bool = True


class Control:
    """Lets an operator decide. `by` says who he is; times are Unix seconds."""

    def __init__(
        self, pipeline: Pipeline, guarding: Guards | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._pipeline = pipeline
        self._guarding = guarding
        self._clock = clock
        self.pinned: Latest[tuple[Pinned, ...]] = Latest(())
        """What is pinned: none or one."""

    # --- what there is -----------------------------------------------------------------------------------

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The standing of the source `operator`; none while the other sources are followed."""
        return tuple(_standing(one.kept) for one in self.pinned.value or ())

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What the guards hold back."""
        return self._guarding.holds if self._guarding else ()

    def view(self) -> dict[str, Any] | None:
        """Give what `/state` shows of the operator; None while the sources are followed."""
        for one in self.pinned.value or ():
            kept = one.kept
            return {
                "kind": kept.kind.value,
                "number": kept.number,
                "since": kept.since,
                "by": kept.by,
                "reason": kept.reason,
            }
        return None

    def history(self) -> tuple[tuple[Past, Change], ...]:
        """Give the states that one can go back to, oldest first, each with what it changed."""
        states = self._pipeline.history.states
        before = (None, *states[:-1])
        return tuple((past, change(old, past)) for old, past in zip(before, states, strict=True))

    @property
    def serving(self) -> int | None:
        """The number of the state that is served; None before the first."""
        past = self._pipeline.present
        return past.number if past else None

    # --- what can be done --------------------------------------------------------------------------------

    def freeze(self, by: str, reason: str = "") -> Outcome:
        """Go on serving what is served now. Raises ControlError while nothing is."""
        for one in self.pinned.value or ():
            return Outcome(f"it was {_told(one.kept)} already; nothing changed", changed=False)
        past = self._pipeline.present
        if past is None:
            raise ControlError(
                "nothing is served yet, so there is nothing to freeze; wait until /readyz says ready"
            )
        self._pin(Kind.FROZEN, past, by, reason)
        log(Event.CONTROL_FROZEN, logging.WARNING, by=by, number=past.number, reason=reason)
        return Outcome(f"frozen at state {past.number}: services that change or come now are not served")

    def thaw(self, by: str) -> Outcome:
        """Follow the sources again."""
        pinned = self.pinned.value or ()
        if not pinned:
            return Outcome("nothing was frozen or rolled back; the sources are followed", changed=False)
        self.pinned.publish(())
        self._pipeline.pin(None)
        telemetry.FROZEN.set(0)
        kept = pinned[0].kept
        log(Event.CONTROL_THAWED, logging.WARNING, by=by, number=kept.number, seconds=self._age(kept))
        return Outcome(f"the sources are followed again; it was {_told(kept)}")

    def rollback(self, number: int | None, by: str, reason: str = "") -> Outcome:
        """Serve a state of the history, or the one before the present. Raises ControlError without such."""
        past = self._before() if number is None else self._pipeline.history.get(number)
        present = self._pipeline.present
        if past is None:
            raise ControlError(f"{_missing(number)}; {self._numbers()}")
        if present is not None and past.number == present.number and self.pinned.value:
            return Outcome(f"state {past.number} is served already; nothing changed", changed=False)
        self._pin(Kind.ROLLED_BACK, past, by, reason)
        log(
            Event.CONTROL_ROLLED_BACK,
            logging.WARNING,
            by=by,
            number=past.number,
            from_number=present.number if present else 0,
            reason=reason,
        )
        return Outcome(f"rolled back to state {past.number}; it stays until the freeze is released")

    def accept(self, hold_id: str | None, by: str) -> Outcome:
        """Release one hold, or with None all of them. Raises ControlError where there is no such hold."""
        released = self._guarding.accept(hold_id) if self._guarding else ()
        if not released and hold_id is not None:
            held = ", ".join(one.id for one in self.holds) or "nothing"
            raise ControlError(f"there is no hold {hold_id[:MAX_REASON]!r}; held is {held}")
        names = ", ".join(one.id for one in released)
        log(Event.CONTROL_ACCEPTED, logging.WARNING, by=by, holds=names)
        if not released:
            return Outcome("nothing was held", changed=False)
        later = "; it is served once the freeze is released" if self.pinned.value else ""
        return Outcome(f"released: {names}{later}")

    def restore(self, kept: Kept, catalog: Catalog, policy: Policy) -> None:
        """Go on with what was pinned before a restart; the policy is that of the settings now."""
        past = Past(number=kept.number, at=kept.at, catalog=catalog, policy=policy)
        self._set(Pinned(kept=kept, past=past))
        log(Event.CONTROL_RESTORED, logging.WARNING, by=kept.by, number=kept.number, reason=kept.reason)

    # --- its parts ---------------------------------------------------------------------------------------

    def _pin(self, kind: Kind, past: Past, by: str, reason: str) -> None:
        kept = Kept(
            kind=kind, number=past.number, at=past.at, since=self._clock(), by=by, reason=reason[:MAX_REASON]
        )
        self._set(Pinned(kept=kept, past=past))

    def _set(self, pinned: Pinned) -> None:
        self.pinned.publish((pinned,))
        self._pipeline.pin(pinned.past)
        telemetry.FROZEN.set(1)

    def _before(self) -> Past | None:
        """Give the state before the present one, in the order in which they were served."""
        present = self._pipeline.present
        if present is None:
            return None
        older = [one for one in self._pipeline.history.states if one.number < present.number]
        return older[-1] if older else None

    def _numbers(self) -> str:
        states = self._pipeline.history.states
        if not states:
            return "the history is empty"
        return f"the history has {', '.join(str(one.number) for one in states)}"

    def _age(self, kept: Kept) -> float:
        return round(max(0.0, self._clock() - kept.since), 1)


def refused(by: str, action: str, reason: str) -> None:
    """Tell the log of an attempt that was refused; `reason` is a sentence."""
    log(Event.CONTROL_REFUSED, logging.WARNING, by=by, action=action, reason=reason)


def _standing(kept: Kept) -> Standing:
    reason = f"{_told(kept)}; `xds-server freeze --release` ends it"
    return Standing(source=OPERATOR, state=State.FROZEN, reason=reason, since=kept.since)


def _told(kept: Kept) -> str:
    verb = "frozen at" if kept.kind is Kind.FROZEN else "rolled back to"
    words = f" ({kept.reason})" if kept.reason else ""
    return f"{verb} state {kept.number} by {kept.by}{words}"


def _missing(number: int | None) -> str:
    return "there is no earlier state" if number is None else f"state {number} is not remembered"
