"""Regular expressions in time that is linear in the text, for patterns that strangers write.

Python's own `re` takes exponential time on some of them, and RE2, which Consul uses, does not come with
Python. So the simple ones, which are nearly all that are written about versions and names, are matched here:
characters, classes, `.`, `^`, `$`, `|`, groups, which may be missing, and repetitions of one character or
class. What is not simple is refused with the reason; https://github.com/google/re2/wiki/Syntax .
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

_MAX_STEPS: Final = 128
_MAX_REPEAT: Final = 64
_MAX_DEPTH: Final = 16

_QUANTIFIER: Final = re.compile(r"([*+?])\??|\{(\d{1,3})(,(\d{1,3})?)?\}\??", re.ASCII)
_GROUP: Final = re.compile(r"\((?:\?:|(?!\?))")
_ESCAPED: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CLASSES: Final = frozenset("dDsSwW")


class PatternError(ValueError):
    """A pattern that is wrong or not simple; the message is a clause that says why."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One character that `atom`, a pattern of `re`, takes; it may be missing, or come again and again."""

    atom: str
    missing: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Way:
    """One alternative: its steps, and whether it has to begin and end where the text does."""

    steps: tuple[_Step, ...] = ()
    begins: bool = False
    ends: bool = False


_Ways: TypeAlias = tuple[_Way, ...]


def searcher(pattern: str) -> Callable[[str], bool]:
    """Give what tells whether a pattern is found somewhere in a text. Raises PatternError."""
    ignore_case = pattern.startswith("(?i)")
    reader = _Reader(pattern, 4 if ignore_case else 0)
    ways = reader.alternatives()
    if reader.rest:
        raise PatternError("a group is closed that was not opened")
    machines = [_Machine(way, re.ASCII | (re.IGNORECASE if ignore_case else 0)) for way in ways]
    return lambda text: any(machine.finds(text) for machine in machines)


class _Machine:
    """Follows all states of an alternative at once; bit `i` is: `i` steps are done."""

    def __init__(self, way: _Way, flags: int) -> None:
        self._way = way
        self._atoms = [re.compile(step.atom, flags).fullmatch for step in way.steps]
        self._last = 1 << len(way.steps)
        # What a state also is, as steps that may be missing can be passed over.
        self._closures = [self._last]
        for index in range(len(way.steps) - 1, -1, -1):
            beyond = self._closures[0] if way.steps[index].missing else 0
            self._closures.insert(0, 1 << index | beyond)

    def finds(self, text: str) -> bool:
        """Tell whether the text has it."""
        taken: dict[str, int] = {}
        state = start = self._closures[0]
        for character in text:
            if state & self._last and not self._way.ends:
                return True
            if character not in taken:
                taken[character] = sum(1 << i for i, takes in enumerate(self._atoms) if takes(character))
            state = self._after(state & taken[character]) | (0 if self._way.begins else start)
        return bool(state & self._last)

    def _after(self, moving: int) -> int:
        state = 0
        while moving:
            index = (moving & -moving).bit_length() - 1
            moving &= moving - 1
            state |= self._closures[index if self._way.steps[index].again else index + 1]
            state |= self._closures[index + 1]
        return state


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str, start: int) -> None:
        self._pattern = pattern
        self._at = start
        self._depth = 0

    @property
    def rest(self) -> str:
        return self._pattern[self._at :]

    def alternatives(self) -> _Ways:
        """Read up to a closing parenthesis or the end."""
        found = list(self._sequence())
        while self.rest.startswith("|"):
            self._at += 1
            found.extend(self._sequence())
        if sum(len(way.steps) + 1 for way in found) > _MAX_STEPS:
            raise PatternError("it is too long")
        return tuple(found)

    def _sequence(self) -> _Ways:
        ways: _Ways = (_Way(),)
        while self.rest and self.rest[0] not in "|)":
            pieces = self._piece()
            ways = tuple(_joined(way, piece) for way in ways for piece in pieces)
            if sum(len(way.steps) + 1 for way in ways) > _MAX_STEPS:
                raise PatternError("it is too long")
        return ways

    def _piece(self) -> _Ways:
        if opening := _GROUP.match(self._pattern, self._at):
            self._at = opening.end()
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise PatternError("its groups are nested too deeply")
            ways = self.alternatives()
            self._depth -= 1
            if not self.rest.startswith(")"):
                raise PatternError("a group is not closed")
            self._at += 1
            if self.rest.startswith("?"):
                self._at += 2 if self.rest.startswith("??") else 1
                return (*ways, _Way())
            if _QUANTIFIER.match(self._pattern, self._at):
                raise PatternError("it repeats a group; only one character or class can be repeated")
            return ways
        if self.rest[0] == "^":
            self._at += 1
            return (_Way(begins=True),)
        if self.rest[0] == "$":
            self._at += 1
            return (_Way(ends=True),)
        return (_Way(steps=self._repeated(_Step(self._atom()))),)

    def _repeated(self, step: _Step) -> tuple[_Step, ...]:
        quantifier = _QUANTIFIER.match(self._pattern, self._at)
        if quantifier is None:
            return (step,)
        self._at = quantifier.end()
        if _QUANTIFIER.match(self._pattern, self._at):
            raise PatternError("it repeats a repetition")
        maybe, any_number = replace(step, missing=True), replace(step, missing=True, again=True)
        simple = {"*": (any_number,), "+": (step, any_number), "?": (maybe,)}
        if quantifier[1]:
            return simple[quantifier[1]]
        least = int(quantifier[2])
        most = least if quantifier[3] is None else int(quantifier[4]) if quantifier[4] else None
        if max(least, most or 0) > _MAX_REPEAT:
            raise PatternError(f"it repeats more than {_MAX_REPEAT} times")
        if most is None:
            return (step,) * least + (any_number,)
        if most < least:
            raise PatternError("it repeats at most less often than at least")
        return (step,) * least + (maybe,) * (most - least)

    def _atom(self) -> str:
        character = self.rest[0]
        if character == "[":
            return self._class()
        if character in "*+?{(":
            raise PatternError(f'what begins with "{self.rest[:3]}" is not simple')
        if character == "\\":
            return self._escape()
        self._at += 1
        return "." if character == "." else re.escape(character)

    def _escape(self) -> str:
        character = self.rest[1:2]
        if not (character in _CLASSES or character in _ESCAPED or (character and not character.isalnum())):
            raise PatternError(f'"{self.rest[:2]}" is not simple')
        self._at += 2
        return f"\\{character}" if character in _CLASSES else re.escape(_ESCAPED.get(character, character))

    def _class(self) -> str:
        """Read `[...]`; each character is escaped anew, as Python's own rules for it are others."""
        self._at += 1
        made = "["
        if self.rest.startswith("^"):
            self._at += 1
            made = "[^"
        first = True
        while first or not self.rest.startswith("]"):
            made += self._range()
            first = False
        self._at += 1
        return made + "]"

    def _range(self) -> str:
        low = self._class_character()
        if not re.match(r"-[^\]]", self.rest):
            return low
        self._at += 1
        high = self._class_character()
        if _is_class(low) or _is_class(high) or low[-1] > high[-1]:
            raise PatternError("it has a range that is none")
        return f"{low}-{high}"

    def _class_character(self) -> str:
        if not self.rest:
            raise PatternError("a class is not closed")
        if self.rest.startswith("[:"):
            raise PatternError('a class like "[:alpha:]" is not simple')
        if self.rest[0] == "\\":
            return self._escape()
        self._at += 1
        return re.escape(self._pattern[self._at - 1])


def _is_class(atom: str) -> bool:
    return len(atom) > 1 and atom[1] in _CLASSES


def _joined(one: _Way, other: _Way) -> _Way:
    if (other.begins and one.steps) or (one.ends and other.steps):
        raise PatternError("it has ^ or $ in the middle")
    return _Way(steps=one.steps + other.steps, begins=one.begins or other.begins, ends=one.ends or other.ends)
