"""How far the catalog can be trusted now: a value that readiness, metrics, the CLI and the pages show."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a catalog is: as its source has it now, as it was, or as it was because the source is doubted."""

    LIVE = "live"
    STALE = "stale"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of one source. `source` names it, e.g. `consul dc1`.

    `reason` is a sentence that says why and what to do, empty while live; `since` is when the state began,
    in Unix seconds.
    """

    source: str
    state: State
    reason: str
    since: float


def replaced(standings: tuple[Standing, ...], old: Standing | None, new: Standing) -> tuple[Standing, ...]:
    """Give the standings of all sources, sorted by their names, with `new` in place of `old`.

    A source that begins anew has no `old`, but its name.
    """
    others = [one for one in standings if one != old and one.source != new.source]
    return tuple(sorted([*others, new], key=lambda one: one.source))
