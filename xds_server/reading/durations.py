"""Durations as people write them: `5s`, `250ms`, `1h30m`, or a number of seconds."""

import math
import re
from typing import Final

DURATION: Final = "duration"
PATTERN: Final = r"^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$"

_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: str | float | bool | None) -> float | None:
    """Give the seconds that `value` means; None if it is not a duration.

    Text is numbers with units (Go's `time.ParseDuration` without sign and without units below a
    millisecond); a number is seconds.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            return None
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value))
    return float(value) if math.isfinite(value) and value >= 0 else None
