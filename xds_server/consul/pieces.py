"""What config entries and compiled chains have in common: bounded texts, durations, header changes; pure.

A `Flaw` is what a reader raises at a piece that cannot be used; whoever reads the whole catches it and
decides what it costs.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec

from xds_server.consul.text import shown
from xds_server.model.policy import Protocol
from xds_server.model.route import NO_CHANGES, HeaderChanges, Pairs
from xds_server.reading import parse_go_duration

MAX_HEADERS: Final = 64
_MAX_NAME: Final = 256
_MAX_VALUE: Final = 4096

# RFC 9110, 5.6.2: a token.
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
# Envoy refuses a whole route configuration that changes these (config.core.v3.HeaderValueOption).
_UNCHANGEABLE: Final = frozenset({"host"})

PROTOCOLS: Final = {
    "http": Protocol.HTTP1,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "tcp": Protocol.TCP,
}

# Integers beyond 64 bits would become Python's unbounded ones.
Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
GoDuration = str | Int
MAX_UINT32: Final = 2**32 - 1


class Flaw(ValueError):  # noqa: N818 - it is no error of ours
    """A piece cannot be used; the text says which and why, fit for the middle of a sentence."""


class HeaderModifiers(msgspec.Struct):
    """Consul's `HTTPHeaderModifiers`."""

    Add: dict[str, str] | None = None
    Set: dict[str, str] | None = None
    Remove: list[str] | None = None


def seconds(value: GoDuration, what: str) -> float:
    """Give a duration of Consul's in seconds; raise Flaw if it is none."""
    found = parse_go_duration(value)
    if found is None:
        raise Flaw(f"{what} {shown(str(value))} is no duration")
    return found


def token(text: str, what: str) -> str:
    """Give the name of a header, cookie or method; raise Flaw if it cannot be one."""
    if len(text) > _MAX_NAME or not _TOKEN.fullmatch(text):
        raise Flaw(f"{what} {shown(text)} cannot be one")
    return text


def literal(text: str, what: str) -> str:
    """Give a text without control characters; raise Flaw if it has some or is too long."""
    if len(text) > _MAX_VALUE or not text.isprintable():
        raise Flaw(f"{what} {shown(text)} holds control characters or is longer than {_MAX_VALUE}")
    return text


def header_changes(given: HeaderModifiers | None, notes: list[str]) -> HeaderChanges:
    """Give the changes that can be made; `notes` gets words for each that cannot, which is left out."""
    if given is None:
        return NO_CHANGES
    removed = (_changeable(name, notes) for name in sorted(given.Remove or ())[:MAX_HEADERS])
    changes = HeaderChanges(
        add=_pairs(given.Add, notes),
        set=_pairs(given.Set, notes),
        remove=tuple(dict.fromkeys(name for name in removed if name)),
    )
    if max(map(len, (given.Add or (), given.Set or (), given.Remove or ()))) > MAX_HEADERS:
        notes.append(f"of its header changes only {MAX_HEADERS} of a kind are made")
    return NO_CHANGES if changes == NO_CHANGES else changes


def _pairs(given: Mapping[str, str] | None, notes: list[str]) -> Pairs:
    found = []
    for name, value in sorted((given or {}).items())[:MAX_HEADERS]:
        if not (good := _changeable(name, notes)):
            continue
        try:
            found.append((good, literal(value, f"the value of header {good}")))
        except Flaw as flaw:
            notes.append(f"{flaw}: this change is not made")
    return tuple(found)


def _changeable(name: str, notes: list[str]) -> str:
    """Give the name of a header that may be changed, lower case; empty if it may not be."""
    try:
        good = token(name, "the header").lower()
    except Flaw as flaw:
        notes.append(f"{flaw}: this change is not made")
        return ""
    if good in _UNCHANGEABLE:
        notes.append(f"Envoy does not let header {good} be changed: this change is not made")
        return ""
    return good


def among(words: Iterable[str], known: frozenset[str], what: str, notes: list[str]) -> tuple[str, ...]:
    """Give the words that are known, once each; `notes` gets words for the others."""
    found = []
    for word in words:
        if word in known:
            found.append(word)
        else:
            notes.append(f"{what} {shown(word)} is not known and is left out")
    return tuple(dict.fromkeys(found))
