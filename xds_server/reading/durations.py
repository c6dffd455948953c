"""Durations as people write them: `5s`, `250ms`, `1h30m`, or a number of seconds; and as Go programs do."""

import math
import re
from typing import Final

DURATION: Final = "duration"
PATTERN: Final = r"^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$"

_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

# Go writes the micro sign; it reads the Greek letter as well.
_MICRO: Final = ("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s")
_GO_UNITS: Final = _SECONDS | {"ns": 1e-9} | dict.fromkeys(_MICRO, 1e-6)
_GO_PART: Final = re.compile(rf"([0-9]{{1,12}}(?:\.[0-9]{{1,12}})?)(ns|{'|'.join(_MICRO)}|ms|s|m|h)")
_GO_WHOLE: Final = re.compile(rf"(-?)((?:{_GO_PART.pattern})+)")


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


def parse_go_duration(value: str | int) -> float | None:
    """Give the seconds of a duration that a Go program wrote into JSON; None if it is none.

    Text is as of `time.Duration.String` (`1m30s`, `-1s`), empty for none; a whole number is nanoseconds.
    https://pkg.go.dev/time#Duration
    """
    if isinstance(value, int):
        return value / 1e9
    if value in ("", "0"):
        return 0.0
    if (whole := _GO_WHOLE.fullmatch(value)) is None:
        return None
    seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_PART.findall(whole[2]))
    return -seconds if whole[1] else seconds
