"""What a set of measured times comes to."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long the trials of one kind took, in milliseconds."""

    trials: int
    median: float
    p90: float
    p99: float
    most: float

    @classmethod
    def of(cls, milliseconds: list[float]) -> "Times":
        """Summarise; the p99 of 100 trials is the second slowest."""
        ordered = sorted(milliseconds)

        def percentile(part: float) -> float:
            return round(ordered[max(0, round(part * len(ordered)) - 1)], 2)

        return cls(
            trials=len(ordered),
            median=round(statistics.median(ordered), 2),
            p90=percentile(0.90),
            p99=percentile(0.99),
            most=round(ordered[-1], 2),
        )
