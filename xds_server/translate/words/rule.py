"""Rules of Traefik's routers, such as ``Host(`a.com`) && (PathPrefix(`/x`) || Path(`/y`))``.

A rule is read wholly or not at all, as half of it would take more requests than it should. There is no `!`,
no regular expression and no client address. https://doc.traefik.io/traefik/routing/routers/#rule
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

from xds_server.model.route import PathKind, PathMatch, RouteMatch, TextMatch
from xds_server.translate.words import values
from xds_server.translate.words.values import MAX_TEXT, Misfit, quoted

_MOST_WAYS: Final = 16
_DEEPEST: Final = 8

_TOKEN: Final = re.compile(r'\s*(?:(&&|\|\||[(),])|`([^`]*)`|"([^"\\]*)"|([A-Za-z]+))', re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to fulfil a rule: everything in it has to hold. Empty or None means any."""

    host: str = ""
    path: PathMatch | None = None
    methods: tuple[str, ...] = ()
    headers: tuple[TextMatch, ...] = ()
    query: tuple[TextMatch, ...] = ()

    @property
    def match(self) -> RouteMatch:
        """What a request must be like, besides its host."""
        return RouteMatch(
            path=self.path or PathMatch(), methods=self.methods, headers=self.headers, query=self.query
        )


Ways: TypeAlias = tuple[Way, ...]
"""Any of them is enough."""


def ways(rule: str) -> Ways:
    """Give the ways to fulfil a rule, 16 at the most. Raises `Misfit` where anything is not understood."""
    if len(rule) > MAX_TEXT:
        raise Misfit(f"has a rule of more than {MAX_TEXT} characters")
    parser = _Parser(tuple(_tokens(rule)))
    found = parser.any_of(depth=0)
    parser.end()
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of a rule: an operator or a parenthesis, a name, or a quoted `text`."""

    mark: str = ""
    name: str = ""
    text: str | None = None


def _tokens(rule: str) -> Iterator[_Token]:
    position, end = 0, len(rule.rstrip())
    while position < end:
        found = _TOKEN.match(rule, position)
        if found is None:
            raise Misfit(f"has a rule that is not understood from {quoted(rule[position:][:20])} on")
        mark, ticked, plain, name = found.groups()
        yield _Token(mark or "", name or "", ticked if ticked is not None else plain)
        position = found.end()


class _Parser:
    """Reads tokens from left to right."""

    def __init__(self, tokens: tuple[_Token, ...]) -> None:
        self._tokens = tokens
        self._position = 0

    def any_of(self, depth: int) -> Ways:
        """Read what stands between `||`."""
        found = list(self._all_of(depth))
        while self._take("||"):
            found += self._all_of(depth)
        if len(found) > _MOST_WAYS:
            raise Misfit(f"has a rule with more than {_MOST_WAYS} ways to fulfil it; split it")
        return tuple(found)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._position < len(self._tokens):
            raise Misfit("has a rule that goes on after its end; an && or || is missing")

    def _all_of(self, depth: int) -> Ways:
        found = self._one(depth)
        while self._take("&&"):
            other = self._one(depth)
            if len(found) * len(other) > _MOST_WAYS:
                raise Misfit(f"has a rule with more than {_MOST_WAYS} ways to fulfil it; split it")
            found = tuple(_both(one, two) for one, two in product(found, other))
        return found

    def _one(self, depth: int) -> Ways:
        if depth > _DEEPEST:
            raise Misfit(f"has a rule with more than {_DEEPEST} parentheses inside each other")
        if self._take("("):
            found = self.any_of(depth + 1)
            self._need(")")
            return found
        name = self._next().name
        if name.lower() not in _MATCHERS:
            raise Misfit(f"has {quoted(name)} in its rule, which is not one of {', '.join(_NAMES)}")
        self._need("(")
        arguments = [self._argument()]
        while self._take(","):
            arguments.append(self._argument())
        self._need(")")
        return _MATCHERS[name.lower()](arguments)

    def _argument(self) -> str:
        text = self._next().text
        if text is None:
            raise Misfit("has a rule in which a value is not in `backticks`")
        return text

    def _next(self) -> _Token:
        if self._position == len(self._tokens):
            raise Misfit("has a rule that ends too early")
        self._position += 1
        return self._tokens[self._position - 1]

    def _take(self, mark: str) -> bool:
        taken = self._position < len(self._tokens) and self._tokens[self._position].mark == mark
        self._position += taken
        return taken

    def _need(self, mark: str) -> None:
        if not self._take(mark):
            raise Misfit(f"has a rule in which a {mark} is missing")


def _both(one: Way, two: Way) -> Way:
    """Give the way that is both."""
    if (one.host and two.host) or (one.path and two.path) or (one.methods and two.methods):
        raise Misfit("has a rule that asks for two hosts, paths or methods at once")
    return Way(
        host=one.host or two.host,
        path=one.path or two.path,
        methods=one.methods or two.methods,
        headers=one.headers + two.headers,
        query=one.query + two.query,
    )


# --- matchers: the values between the parentheses to the ways to fulfil it ----------------------------------


def _hosts(arguments: Iterable[str]) -> Ways:
    return tuple(Way(host=values.host(one)) for one in arguments)


def _paths(arguments: Iterable[str]) -> Ways:
    return tuple(Way(path=PathMatch(kind=PathKind.EXACT, value=values.plain_path(one))) for one in arguments)


def _prefixes(arguments: Iterable[str]) -> Ways:
    return tuple(Way(path=values.prefix(one)) for one in arguments)


def _methods(arguments: Iterable[str]) -> Ways:
    return (Way(methods=values.methods(",".join(arguments))),)


def _header(arguments: list[str]) -> Ways:
    name, value = _pair(arguments)
    if value is None:
        raise Misfit("has a Header without a value in its rule")
    return (Way(headers=(values.header(name, value),)),)


def _query(arguments: list[str]) -> Ways:
    return (Way(query=(values.query(*_pair(arguments)),)),)


def _pair(arguments: list[str]) -> tuple[str, str | None]:
    match arguments:
        case [name]:
            return name, None
        case [name, value]:
            return name, value
        case _:
            raise Misfit("has more than a name and a value for a header or a query parameter in its rule")


_MATCHERS: Final[dict[str, Callable[[list[str]], Ways]]] = {
    "host": _hosts,
    "path": _paths,
    "pathprefix": _prefixes,
    "method": _methods,
    "header": _header,
    "headers": _header,  # its name in version 2
    "query": _query,
}
_NAMES: Final = ("Host", "Path", "PathPrefix", "Method", "Header", "Query")
