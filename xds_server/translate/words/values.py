"""What a value of a registration may be: each parser takes foreign text and gives a checked value.

Consul takes any text for a tag, and up to 512 characters for a value of Meta. What passes here is bounded,
holds no control character, is never a regular expression, and is literal: no formatter of Envoy sees it.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from xds_server.model.policy import HashKind, HashOn
from xds_server.model.route import RETRY_ON, SAFE_RETRIES, PathKind, PathMatch, Retries, TextKind, TextMatch
from xds_server.translate.regex_size import MOST, program_size

T = TypeVar("T")

MAX_TEXT: Final = 512
_SHOWN: Final = 80

# RFC 1123, with the underscore that Consul's names may have; as the settings take it.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_MAX_HOST: Final = 253
# RFC 3986, 3.3, without the star, which would look like a pattern: what a path holds on the wire, no query.
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()+,;=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_MAX_PATH: Final = 256
# Envoy compares paths as they come unless it is told to tidy them, so these would mean less than they seem.
_TWISTED: Final = re.compile(r"//|/\.{1,2}(?:/|\Z)|%2[EeFf]", re.ASCII)
_LISTENER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", re.ASCII)
_SUBSET: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)
# RFC 9110, 5.6.2: a token. Envoy keeps names that begin with a colon for itself.
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,64}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)
_QUERY_TEXT: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)
_DURATION: Final = re.compile(r"(?:([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h))", re.ASCII)
_DURATIONS: Final = re.compile(rf"(?:{_DURATION.pattern}){{1,4}}", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SHORTEST: Final = 0.001  # Envoy counts in whole milliseconds and takes what is shorter for 0
_LONGEST: Final = 3600.0
_MOST_RETRIES: Final = 10
_MOST_ITEMS: Final = 16
MAX_PRIORITY: Final = 1_000_000


class Misfit(Exception):  # noqa: N818 - no error: what a stranger wrote does not fit, which is to be expected
    """A value cannot be taken; the text is the end of a sentence that begins with the value."""


def quoted(text: str) -> str:
    """Give foreign text as it may stand in a sentence: in double quotes, escaped as ASCII, and cut."""
    return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "...", ensure_ascii=True)


def boolean(text: str) -> bool:
    """Read `true` or `false`. Raises `Misfit`, as every parser here does."""
    return choice({"true": True, "false": False})(text)


def choice(choices: Mapping[str, T]) -> Callable[[str], T]:
    """Give a parser that takes one of some words."""

    def parse(text: str) -> T:
        if text not in choices:
            raise Misfit(f"is not one of {', '.join(choices)}")
        return choices[text]

    return parse


def seconds(text: str) -> float:
    """Read a duration such as `5s`, `250ms` or `1m30s`, from a millisecond to an hour, in seconds."""
    if not _DURATIONS.fullmatch(text):
        raise Misfit("is not a duration such as 5s, 250ms or 1m30s")
    found = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
    if not _SHORTEST <= found <= _LONGEST:
        raise Misfit("is not between 1ms and 1h")
    return found


def host(text: str) -> str:
    """Read a DNS name, `*.name`, or `*` for any host; upper case is made lower."""
    name = text.lower()
    if name != "*" and (len(name) > _MAX_HOST or not _HOST.fullmatch(name)):
        raise Misfit("does not name a host: write a DNS name without a port, *.example.com, or * for any")
    return name


def plain_path(text: str) -> str:
    """Read a path that stands for itself."""
    if not text.startswith("/"):
        raise Misfit("has a path that does not begin with /")
    if len(text) > _MAX_PATH:
        raise Misfit(f"has a path of more than {_MAX_PATH} characters")
    if not _PATH.fullmatch(text):
        raise Misfit("has a character in its path that no path can have, or a star that is not its end")
    if _TWISTED.search(text):
        raise Misfit("has a path with an empty, a dotted or an escaped step")
    return text


def path(text: str) -> PathMatch:
    """Read a path: with `/` or `*` at its end it is what paths begin with, else the whole path."""
    if text.endswith("*"):
        return prefix(text[:-1])
    plain = plain_path(text)
    return prefix(plain) if plain.endswith("/") else PathMatch(kind=PathKind.EXACT, value=plain)


def prefix(text: str) -> PathMatch:
    """Read what paths begin with, character by character."""
    plain = plain_path(text)
    # With a slash at the end it is whole segments, as the settings write it.
    return PathMatch(kind=PathKind.SEGMENTS if plain.endswith("/") else PathKind.PREFIX, value=plain)


def target(text: str) -> str:
    """Read a path that is written over another. Envoy's formatters begin with a percent sign."""
    if "%" in text:
        raise Misfit("has a percent sign, which nothing that is written into a request may have")
    return plain_path(text)


def strip(text: str) -> str | bool:
    """Read what is taken off a path: `true` for all that the route names, or a path."""
    return boolean(text) if text in ("true", "false") else plain_path(text)


def listener(text: str) -> str:
    """Read the name of a listener."""
    if not _LISTENER.fullmatch(text):
        raise Misfit("cannot be the name of a listener")
    return text


def subset(text: str) -> str:
    """Read the name of a subset, which becomes a part of names in Envoy and of a filter: a DNS label."""
    if not _SUBSET.fullmatch(text):
        raise Misfit("does not name a subset: use small letters, digits and dashes, 63 at the most")
    return text


def priority(text: str) -> int:
    """Read the priority of a route."""
    return number(text, -MAX_PRIORITY, MAX_PRIORITY)


def number(text: str, least: int, most: int) -> int:
    """Read a whole number from `least` to `most`."""
    if not re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII) or not least <= int(text) <= most:
        raise Misfit(f"is not a whole number from {least} to {most}")
    return int(text)


def methods(text: str) -> tuple[str, ...]:
    """Read methods with commas between them, in sorted order."""
    found = sorted({item.upper() for item in _items(text)})
    if not all(_METHOD.fullmatch(item) for item in found):
        raise Misfit("does not list methods, as in GET,POST")
    # They become one regular expression, and one that is too large costs all routes of a listener.
    if program_size("|".join(found)) > MOST:
        raise Misfit("lists more methods, or longer ones, than Envoy takes")
    return tuple(found)


def headers(text: str) -> tuple[TextMatch, ...]:
    """Read what headers must be, with commas between: `name=value`, `name` if there, `!name` if not there."""
    return tuple(sorted((_header(item) for item in _items(text)), key=lambda one: (one.name, one.value)))


def _header(item: str) -> TextMatch:
    name, equals, value = item.partition("=")
    if equals:
        return header(name, value)
    return TextMatch(name=header_name(name.removeprefix("!")), invert=name.startswith("!"))


def header(name: str, value: str) -> TextMatch:
    """Check a header and the value it must have."""
    if not _HEADER_VALUE.fullmatch(value):
        raise Misfit("has a value that no header can have")
    return TextMatch(name=header_name(name), kind=TextKind.EXACT, value=value)


def header_name(text: str) -> str:
    """Read the name of a header, as HTTP/2 writes it."""
    if not _TOKEN.fullmatch(text):
        raise Misfit("has a name that no header can have")
    return text.lower()


def query(name: str, value: str | None) -> TextMatch:
    """Check a query parameter, and the value it must have if there is one."""
    if not _QUERY_TEXT.fullmatch(name) or not (value is None or _QUERY_TEXT.fullmatch(value)):
        raise Misfit("has a query parameter with more than letters, digits, dots, dashes and underscores")
    if value is None:
        return TextMatch(name=name)
    return TextMatch(name=name, kind=TextKind.EXACT, value=value)


def retries(text: str) -> Retries:
    """Read `3`, or `3:5xx,503`: how often, and on which conditions of Envoy or statuses."""
    count, colon, conditions = text.partition(":")
    words = _items(conditions) if colon else SAFE_RETRIES
    statuses = tuple(sorted({int(one) for one in words if re.fullmatch(r"[1-5][0-9][0-9]", one, re.ASCII)}))
    named = tuple(sorted({one for one in words if not one.isdigit()}))
    if len(named) + len(statuses) < len(set(words)) or not RETRY_ON.issuperset(named):
        raise Misfit(f"has a condition that is neither a status nor one of {', '.join(sorted(RETRY_ON))}")
    return Retries(count=number(count, 0, _MOST_RETRIES), on=named, statuses=statuses)


def hash_on(text: str) -> tuple[HashOn, ...]:
    """Read `header:name`, `cookie:name`, `query:name` or `source_ip`."""
    kind, _, name = text.partition(":")
    if text == HashKind.SOURCE_IP:
        return (HashOn(kind=HashKind.SOURCE_IP),)
    if kind not in (HashKind.HEADER, HashKind.COOKIE, HashKind.QUERY) or not _TOKEN.fullmatch(name):
        raise Misfit("is not header:NAME, cookie:NAME, query:NAME or source_ip")
    return (HashOn(kind=HashKind(kind), name=name.lower() if kind == HashKind.HEADER else name),)


def _items(text: str) -> tuple[str, ...]:
    found = tuple(item.strip(" ") for item in text.split(","))
    if not all(found) or len(found) > _MOST_ITEMS:
        raise Misfit(f"is not a list of 1 to {_MOST_ITEMS} items with commas between them")
    return found
