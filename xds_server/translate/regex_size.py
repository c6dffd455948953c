"""How large RE2's program for a regular expression gets: Envoy refuses what is larger than 100.

Envoy, "Runtime", `re2.max_program_size.error_level`; with one such expression it refuses the whole response,
that of everybody else's routes included. The figures below are what Envoy 1.40 was seen to count, rounded up.
"""

import re
from typing import Final

MOST: Final = 100
"""What Envoy takes unless its own bootstrap says otherwise."""

_OVERHEAD: Final = 5
_CAPTURE: Final = 2
_ESCAPES: Final = {"d": 1, "w": 4, "s": 4, "D": 3, "W": 6, "S": 5, "p": 12, "P": 12}
_NEGATED: Final = 2
_POSIX: Final = "wxyz"  # as many steps as the largest has
_CAPTURING: Final = re.compile(r"\((?!\?)|\(\?P?<")
_ASCII_RANGE: Final = re.compile(r"[!-~]-[!-~]", re.ASCII)
# An escape (with the name of its class), a class, a group's beginning or end, a repetition, and the rest.
_TOKEN: Final = re.compile(
    r"(?P<escape>\\(?:[pP]\{[^}]*\}|[pP].|.))"
    r"|(?P<class>\[\^?\]?(?:\[:[^:]*:\]|\\.|[^\]\\])*\])"
    r"|(?P<open>\((?:\?(?:P?<[^>]*>|[a-zA-Z-]*:|[a-zA-Z-]*(?=\))))?)"
    r"|(?P<close>\))"
    r"|(?P<repeat>\{(?P<least>\d+)(?P<more>,(?P<most>\d*))?\}\??|[*+?]\??)"
    r"|(?P<other>.)",
    re.DOTALL,
)


def program_size(pattern: str) -> int:
    """Give a bound of the size of RE2's program for a pattern, never below it."""
    groups: list[tuple[int, int]] = []
    total, last = 0, 0
    for found in _TOKEN.finditer(pattern):
        match found.lastgroup:
            case "open":
                groups.append((total, _CAPTURE if _CAPTURING.match(found["open"]) else 0))
                total, last = 0, 0
            case "close" if groups:
                outside, capture = groups.pop()
                total, last = outside + total + capture, total + capture
            case "repeat":
                grown = _repeated(last, found)
                total, last = total - last + grown, grown
            case kind:
                last = _one(kind or "", found[0])
                total += last
    return total + sum(outside + capture for outside, capture in groups) + _OVERHEAD


def _one(kind: str, text: str) -> int:
    if kind == "escape":
        return _ESCAPES.get(text[1], len(text[1].encode()))
    if kind == "class":
        return _in_class(text)
    # Characters beyond ASCII are several bytes, and `.` and `|` take two steps.
    return 2 if text in ".|" else len(text.encode())


def _in_class(text: str) -> int:
    inner = text[2:-1] if text.startswith("[^") else text[1:-1]
    ranges = _ASCII_RANGE.sub("-", re.sub(r"\[:[^:]*:\]", _POSIX, inner))
    escapes = sum(_ESCAPES.get(letter, 0) for letter in re.findall(r"\\(.)", ranges, flags=re.DOTALL))
    return sum(len(character.encode()) for character in ranges) + escapes + _NEGATED * text.startswith("[^")


def _repeated(last: int, found: re.Match[str]) -> int:
    if found["least"] is None:
        return last + 1
    least = int(found["least"])
    if found["more"] is None:
        return max(last * least, 1)
    most = int(found["most"]) if found["most"] else least + 1
    return (last + 1) * max(most, 1)
