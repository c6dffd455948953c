"""What one registration says in our own words: `xds-...` in its Meta, `xds. ...` in its tags."""

import difflib
import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Final

from xds_server.model.problem import Code, Problem
from xds_server.translate.words import routes
from xds_server.translate.words.entries import Entry, entries
from xds_server.translate.words.said import AskedRoute, Pieces, Said, Sign, Stated
from xds_server.translate.words.schema import OPTIONS, ROUTE, WORDS
from xds_server.translate.words.values import MAX_TEXT, Misfit, quoted

MAX_ROUTES: Final = 32  # of one registration
_LOOKED_AT: Final = 4  # unknown words of one registration, as finding what is near takes time

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_NAMED_ROUTE: Final = f"{ROUTE}-"


def read(service: str, pieces: Pieces) -> Said:
    """Read the pieces of one registration; those that are not for us are passed over."""
    return _Reader(service).read(entries(pieces))


class _Reader:
    """Gathers what the words of one registration come to."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._overruled: dict[str, list[Sign]] = {}
        self._routes: dict[str, Entry] = {}
        self._options: dict[str, dict[str, Any]] = {}
        self._spoilt: set[str] = set()
        self._unknown: list[tuple[Entry, str]] = []
        self._problems: list[Problem] = []

    def read(self, given: Iterable[Entry]) -> Said:
        first = self._first(given)
        self._name_routes(first.values())
        stated = {word: one for word, entry in first.items() if (one := self._stated(word, entry))}
        for word, entry in first.items():
            if word not in WORDS and entry not in self._routes.values():
                self._option(entry)
        self._tell_unknown()
        return Said(
            words=MappingProxyType(stated),
            routes=MappingProxyType(self._asked_routes()),
            problems=tuple(self._problems),
        )

    def _first(self, given: Iterable[Entry]) -> dict[str, Entry]:
        """Keep the first entry of each word: that of Meta if there is one."""
        first: dict[str, Entry] = {}
        for entry in given:
            kept = first.setdefault(entry.word, entry)
            if kept.value != entry.value:
                self._overruled.setdefault(entry.word, []).append(entry.sign)
        for word, signs in self._overruled.items():
            sentence = (
                f"{signs[0]} of the same registration says otherwise; this one counts: keep one of them"
            )
            self._note(Code.WORD_CONFLICT, first[word].sign, sentence)
        return first

    def _name_routes(self, given: Iterable[Entry]) -> None:
        """Find the routes by their names, the one without a name under the empty one."""
        for entry in given:
            if entry.word == ROUTE:
                self._routes[""] = entry
            elif entry.word.startswith(_NAMED_ROUTE):
                name = entry.word.removeprefix(_NAMED_ROUTE)
                self._routes[name] = entry
                if reason := _refused_name(name):
                    self._spoil(name, entry, f"{quoted(name)} {reason}")

    def _stated(self, word: str, entry: Entry) -> Stated | None:
        if word not in WORDS:
            return None
        try:
            value = WORDS[word].parse(_bounded(entry.value))
        except Misfit as misfit:
            self._note(Code.WORD_INVALID, entry.sign, f"{quoted(entry.value)} {misfit}; it is not used")
            return None
        return Stated(value=value, sign=entry.sign, overruled=tuple(self._overruled.get(word, ())))

    def _option(self, entry: Entry) -> None:
        """Read an option of a route; one that is no good costs its route, which would be wider without."""
        name = max((one for one in self._routes if entry.word.startswith(f"{one}-")), key=len, default="")
        option = entry.word.removeprefix(f"{name}-") if name else entry.word
        if option not in OPTIONS or name not in self._routes:
            self._unknown.append((entry, name))
            return
        try:
            self._options.setdefault(name, {})[option] = OPTIONS[option].parse(_bounded(entry.value))
        except Misfit as misfit:
            self._spoil(name, entry, f"{quoted(entry.value)} {misfit}")

    def _tell_unknown(self) -> None:
        """Say what is not known, and what may have been meant; the route that it may be about is left out."""
        options = {
            f"{name}-{option}" if name else option: name for name in self._routes for option in OPTIONS
        }
        for position, (entry, route) in enumerate(self._unknown):
            words = [*WORDS, ROUTE, *options] if position < _LOOKED_AT else []
            near = next(iter(difflib.get_close_matches(entry.word, words, n=1)), "")
            sentence = "there is no such word, or no route of that name"
            if route or near in options:
                self._spoilt.add(route or options[near])
                sentence += "; its route is left out, as this may have been meant to narrow it"
            if near:
                sentence += f"; did you mean {quoted(entry.spelt(near))}?"
            self._note(Code.WORD_UNKNOWN, entry.sign, sentence)

    def _asked_routes(self) -> dict[str, AskedRoute]:
        found: dict[str, AskedRoute] = {}
        for name in sorted(self._routes.keys() - self._spoilt):
            entry, options = self._routes[name], self._options.get(name, {})
            if len(found) == MAX_ROUTES:
                self._spoil(name, entry, f"is one more than the {MAX_ROUTES} routes that can be asked for")
                break
            try:
                asked = routes.asked(_bounded(entry.value), options)
                found[name] = AskedRoute(routes=(asked,), sign=entry.sign)
            except Misfit as misfit:
                self._spoil(name, entry, f"{quoted(entry.value)} {misfit}")
        return found

    def _spoil(self, name: str, entry: Entry, reason: str) -> None:
        self._spoilt.add(name)
        self._note(Code.WORD_INVALID, entry.sign, f"{reason}; the route is left out")

    def _note(self, code: Code, sign: Sign, sentence: str) -> None:
        source = f"service {quoted(self._service)} {sign}"
        self._problems.append(Problem(code=code, source=source, sentence=sentence))


def _refused_name(name: str) -> str:
    """Say why a route cannot be called `name`, or nothing; its options would be taken for other words."""
    if not _NAME.fullmatch(name):
        return "cannot name a route: use small letters, digits and dashes, 32 at the most"
    if name.rpartition("-")[2] in OPTIONS:
        return "cannot name a route, as it ends like an option: options are written <name>-<option>"
    if any(f"{name}-{option}" in WORDS for option in OPTIONS):
        return "cannot name a route, as one of its options would be another word"
    return ""


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Misfit(f"has more than {MAX_TEXT} characters")
    return text
