"""Figures: what was measured, of whom, in which case; medians, spread, and ratios to each peer."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

OURS: Final = "xds-server"

Case = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One quantity, of one server, in one case.

    `case` tells the case by words and numbers, `who` is the server, `what` the quantity with its `unit`;
    `values` are the trials in the order they were taken.
    """

    case: Case
    who: str
    what: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the trials."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least of the trials."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The most of the trials."""
        return max(self.values)

    def is_of(self, other: "Figure") -> bool:
        """Tell whether the other is more trials of the same."""
        return (self.case, self.who, self.what, self.unit) == (other.case, other.who, other.what, other.unit)

    def to_json(self) -> dict[str, Any]:
        """Give it with what follows from the trials, for readers that do not want to count."""
        summary = {"median": self.median, "low": self.low, "high": self.high}
        return asdict(self) | {name: rounded(value) for name, value in summary.items()}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Read what `to_json` gave."""
        names = ("case", "who", "what", "unit")
        return cls(**{name: found[name] for name in names}, values=tuple(found["values"]))


@dataclass(slots=True, kw_only=True)
class Result:
    """What one workload came to. `notes` are what a reader has to know; `failed` is why it ended early."""

    workload: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: str = ""
    machine: dict[str, Any] = field(default_factory=dict)

    def add(self, case: Case, who: str, what: str, unit: str, *values: float) -> None:
        """Note trials of a quantity of a server in a case, behind those that were noted before."""
        if not values:
            return
        fresh = Figure(case=case, who=who, what=what, unit=unit, values=tuple(map(rounded, values)))
        for place, known in enumerate(self.figures):
            if known.is_of(fresh):
                self.figures[place] = replace(known, values=known.values + fresh.values)
                return
        self.figures.append(fresh)

    def note(self, sentence: str) -> None:
        """Note a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def to_json(self) -> dict[str, Any]:
        """Give it for a file."""
        return {
            "workload": self.workload,
            "title": self.title,
            "machine": self.machine,
            "failed": self.failed,
            "notes": self.notes,
            "figures": [figure.to_json() for figure in self.figures],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Read what `to_json` gave."""
        names = ("workload", "title", "machine", "failed", "notes")
        figures = [Figure.from_json(one) for one in found["figures"]]
        return cls(**{name: found[name] for name in names}, figures=figures)


def ratios(figures: Sequence[Figure]) -> dict[str, float]:
    """Give how many times each other server's median ours is, for figures of one case and one quantity."""
    ours = next((figure for figure in figures if figure.who == OURS), None)
    if ours is None:
        return {}
    others = (figure for figure in figures if figure.who != OURS and figure.median > 0)
    return {figure.who: ours.median / figure.median for figure in others}


def percentile(values: Iterable[float], part: float) -> float:
    """Give the value that `part` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(part * 1000) * len(ordered) // 1000) - 1)]


def rounded(value: float) -> float:
    """Give four digits that count: more are noise."""
    return float(f"{value:.4g}")
