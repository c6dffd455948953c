"""The grammar of Consul's filter expressions.

https://developer.hashicorp.com/consul/api-docs/features/filtering . What Consul 1.8 refuses is refused here
as well, so that an expression means the same on both sides or nothing.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

_MAX_LENGTH: Final = 4096
_MAX_DEPTH: Final = 32

_IDENTIFIER = r"[A-Za-z][A-Za-z0-9_]*"
_STRING = r'`[^`]*`|"[^"\n]*"'
_SELECTOR: Final = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER}|\[\s*(?:{_STRING})\s*\])*")
_SEGMENT: Final = re.compile(rf"\.?({_IDENTIFIER})|\[\s*({_STRING})\s*\]")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?=[\s)]|\Z)")
_QUOTED: Final = re.compile(_STRING)
_COMPARED: Final = re.compile(r"\s*([=!])=\s*|\s+(not\s+)?(contains|matches)\s+")
_EMPTY: Final = re.compile(r"\s+is\s+(not\s+)?empty(?![A-Za-z0-9_])")
_IN: Final = re.compile(r"\s+(not\s+)?in\s+")
_AND: Final = re.compile(r"\s+and\s+")
_OR: Final = re.compile(r"\s+or\s+")
# `not in Service.Tags` asks for the tag "not".
_NOT: Final = re.compile(r"not\s+(?!(?:not\s+)?in\s)")
_BLANK: Final = re.compile(r"\s*")

# What Go's strconv.Unquote makes of the escapes between double quotes.
_ESCAPE: Final = re.compile(r"\\(?:([abfnrtv\\])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|([0-3][0-7]{2})|(.?))")
_ESCAPED: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
}  # fmt: skip


class FilterError(ValueError):
    """An expression that cannot be used; the message is a clause that says why."""


class Operator(StrEnum):
    """How a field is compared. `CONTAINS` is the same as `in` with the sides exchanged."""

    EQUAL = "=="
    CONTAINS = "contains"
    MATCHES = "matches"
    EMPTY = "is empty"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field compared with a value."""

    selector: tuple[str, ...]
    operator: Operator
    value: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    of: "Expression"


@dataclass(frozen=True, slots=True)
class All:
    """Every part."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One part at least."""

    parts: tuple["Expression", ...]


Expression: TypeAlias = Comparison | Not | All | Some


def parse(text: str) -> Expression:
    """Read an expression. Raises FilterError."""
    if len(text) > _MAX_LENGTH:
        raise FilterError(f"it is longer than {_MAX_LENGTH} characters")
    parser = _Parser(text)
    found = parser.disjunction()
    parser.blank()
    if parser.rest:
        raise FilterError(f"{_shown(parser.rest)} is not understood there")
    return found


class _Parser:
    """Reads from left to right; `depth` bounds how deep parentheses and `not` go."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    @property
    def rest(self) -> str:
        return self._text[self._at :]

    def blank(self) -> None:
        """Pass over white space."""
        self._take(_BLANK)

    def disjunction(self) -> Expression:
        """Read what `or` binds, which is weaker than `and`."""
        parts = [self._conjunction()]
        while self._take(_OR):
            parts.append(self._conjunction())
        return Some(tuple(parts)) if len(parts) > 1 else parts[0]

    def _conjunction(self) -> Expression:
        parts = [self._negated()]
        while self._take(_AND):
            parts.append(self._negated())
        return All(tuple(parts)) if len(parts) > 1 else parts[0]

    def _negated(self) -> Expression:
        self.blank()
        if self._take(_NOT):
            self._deeper()
            found = Not(self._negated())
            self._depth -= 1
            return found
        if self.rest.startswith("("):
            return self._grouped()
        return self._comparison()

    def _grouped(self) -> Expression:
        self._at += 1
        self._deeper()
        found = self.disjunction()
        self._depth -= 1
        self.blank()
        if not self.rest.startswith(")"):
            raise FilterError("a parenthesis is not closed")
        self._at += 1
        return found

    def _comparison(self) -> Expression:
        start = self._at
        if selector := self._take(_SELECTOR):
            if compared := self._take(_COMPARED):
                operator = Operator(compared[3]) if compared[3] else Operator.EQUAL
                found = Comparison(_segments(selector[0]), operator, self._value())
                return Not(found) if compared[1] == "!" or compared[2] else found
            if empty := self._take(_EMPTY):
                found = Comparison(_segments(selector[0]), Operator.EMPTY)
                return Not(found) if empty[1] else found
        self._at = start
        value = self._value()
        contained = self._take(_IN)
        within = self._take(_SELECTOR) if contained else None
        if contained is None or within is None:
            raise FilterError(f"{_shown(self._text[start:])} is no comparison")
        found = Comparison(_segments(within[0]), Operator.CONTAINS, value)
        return Not(found) if contained[1] else found

    def _value(self) -> str:
        if found := self._take(_SELECTOR) or self._take(_NUMBER):
            return found[0]
        if quoted := self._take(_QUOTED):
            return _unquoted(quoted[0])
        raise FilterError(f"{_shown(self.rest)} is no value; a text with other characters needs quotes")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise FilterError("it is nested too deeply")


def _segments(selector: str) -> tuple[str, ...]:
    return tuple(found[1] or _unquoted(found[2]) for found in _SEGMENT.finditer(selector))


def _unquoted(literal: str) -> str:
    if literal.startswith("`"):
        return literal[1:-1]
    return _ESCAPE.sub(_escaped, literal[1:-1])


def _escaped(found: re.Match[str]) -> str:
    if found[1]:
        return _ESCAPED[found[1]]
    digits, base = (found[4], 8) if found[4] else (found[2] or found[3], 16)
    if not digits:
        raise FilterError(f"{_shown(found[0])} is no escape between double quotes")
    return chr(int(digits, base))


def _shown(text: str) -> str:
    return ascii(text[:40]) if text else "the end"
