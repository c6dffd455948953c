"""The routes of a service-router: what a request must be like, and what is done with it; pure.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-router . Functions raise Flaw
where leaving something out would send requests elsewhere, and put words into `notes` where it costs less.
"""

import re
from typing import Final

from xds_server.consul.chain_shapes import DestinationShape, HeaderCondition, HttpMatch, QueryCondition
from xds_server.consul.pieces import Flaw, GoDuration, among, header_changes, literal, seconds, token
from xds_server.consul.regexes import regex_flaw
from xds_server.consul.text import shown
from xds_server.model.route import (
    RETRY_ON,
    PathKind,
    PathMatch,
    Retries,
    RouteMatch,
    TextKind,
    TextMatch,
    Treatment,
)

_MAX_CONDITIONS: Final = 64
_MAX_METHODS: Final = 32
_MAX_RETRIES: Final = 100
_MAX_STATUSES: Final = 100
_MAX_PATH: Final = 2048
_STATUSES: Final = range(100, 600)

_METHOD: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}", re.ASCII)

# What is beside it in an entry, or in the request, may say more.
_RETRY_ON: Final = RETRY_ON | {
    "envoy-ratelimited",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
}
# The field of a condition, what it means, and the expression that means the same in any case.
_TEXT_KINDS: Final = (
    ("Exact", TextKind.EXACT, "(?i){}"),
    ("Prefix", TextKind.PREFIX, "(?i){}.*"),
    ("Suffix", TextKind.SUFFIX, "(?i).*{}"),
    ("Contains", TextKind.CONTAINS, "(?i).*{}.*"),
    ("Regex", TextKind.REGEX, "{}"),
)


def match_of(given: HttpMatch | None) -> RouteMatch:
    """Give what a route asks of a request; raise Flaw if that cannot be told exactly."""
    given = given or HttpMatch()
    headers, query, methods = given.Header or [], given.QueryParam or [], given.Methods or []
    if len(headers) + len(query) > _MAX_CONDITIONS or len(methods) > _MAX_METHODS:
        raise Flaw(f"a route has more than {_MAX_CONDITIONS} conditions or {_MAX_METHODS} methods")
    if methods and regex_flaw("|".join(methods)):  # several become one expression
        raise Flaw("the methods of a route are too long together")
    return RouteMatch(
        path=_path(given),
        headers=tuple(_header(one) for one in headers),
        query=tuple(_parameter(one) for one in query),
        methods=tuple(dict.fromkeys(_method(one) for one in methods)),
    )


def treatment_of(given: DestinationShape | None, notes: list[str]) -> Treatment:
    """Give what is done with the requests of a route."""
    if given is None:
        return Treatment()
    return Treatment(
        prefix_rewrite=_rewrite(given.PrefixRewrite, notes),
        timeout=_limit(given.RequestTimeout, "RequestTimeout"),
        idle_timeout=_limit(given.IdleTimeout, "IdleTimeout"),
        retries=_retries(given, notes),
        request=header_changes(given.RequestHeaders, notes),
        response=header_changes(given.ResponseHeaders, notes),
    )


def _method(text: str) -> str:
    """Give a method; a token may hold what means something in a regular expression, a method needs not."""
    if not _METHOD.fullmatch(text):
        raise Flaw(f"the method {shown(text)} is none")
    return text.upper()


def _path(given: HttpMatch) -> PathMatch:
    if given.PathExact:
        return PathMatch(
            kind=PathKind.EXACT, value=_slashed(given.PathExact), ignore_case=given.CaseInsensitive
        )
    if given.PathRegex:
        return PathMatch(kind=PathKind.REGEX, value=_regex(given.PathRegex))
    prefix = _slashed(given.PathPrefix or "/")
    return PathMatch(kind=PathKind.PREFIX, value=prefix, ignore_case=given.CaseInsensitive and prefix != "/")


def _slashed(path: str) -> str:
    if not path.startswith("/") or len(path) > _MAX_PATH:
        raise Flaw(f"the path {shown(path)} does not begin with / or is longer than {_MAX_PATH}")
    return literal(path, "the path")


def _regex(text: str) -> str:
    if flaw := regex_flaw(text):
        raise Flaw(f"the regular expression {shown(text)} {flaw}")
    return text


def _header(given: HeaderCondition) -> TextMatch:
    name = given.Name.lower()
    token(name.removeprefix(":"), "the header")  # :authority, :path and :method may be asked for
    kind, value = _text(given, ignore_case=given.IgnoreCase)
    return TextMatch(name=name, kind=kind, value=value, invert=given.Invert)


def _parameter(given: QueryCondition) -> TextMatch:
    if not given.Name:
        raise Flaw("a condition on a query parameter does not say which")
    kind, value = _text(given, ignore_case=False)
    return TextMatch(name=literal(given.Name, "the query parameter"), kind=kind, value=value)


def _text(given: HeaderCondition | QueryCondition, *, ignore_case: bool) -> tuple[TextKind, str]:
    for field, kind, in_any_case in _TEXT_KINDS:
        if not (value := getattr(given, field, "")):
            continue
        if kind is TextKind.REGEX:
            return kind, _regex(value)
        literal(value, f"the value for {shown(given.Name)}")
        if ignore_case:
            return TextKind.REGEX, _regex(in_any_case.format(re.escape(value)))
        return kind, value
    if given.Present:
        return TextKind.PRESENT, ""
    raise Flaw(f"the condition on {shown(given.Name)} asks for nothing that is known")


def _rewrite(path: str, notes: list[str]) -> str | None:
    if not path:
        return None
    try:
        return _slashed(path)
    except Flaw as flaw:
        notes.append(f"PrefixRewrite: {flaw}, so the path stays as it is")
        return None


def _limit(value: GoDuration, what: str) -> float | None:
    """Give a time limit: none said for 0, no limit for less than that."""
    found = seconds(value, what)
    return max(found, 0.0) if found else None


def _retries(given: DestinationShape, notes: list[str]) -> Retries | None:
    if not (given.NumRetries or given.RetryOnConnectFailure or given.RetryOn or given.RetryOnStatusCodes):
        return None
    wanted = [*(given.RetryOn or ())][:_MAX_STATUSES]
    if given.RetryOnConnectFailure:
        wanted.append("connect-failure")
    statuses = list(dict.fromkeys(given.RetryOnStatusCodes or ()))
    good = tuple(status for status in statuses if status in _STATUSES)[:_MAX_STATUSES]
    if len(good) < len(statuses):
        notes.append("some of RetryOnStatusCodes are no HTTP statuses, or too many, and are left out")
    count = min(max(given.NumRetries, 0), _MAX_RETRIES) or 1
    if count < given.NumRetries:
        notes.append(f"NumRetries {given.NumRetries} is more than {_MAX_RETRIES}, which is used instead")
    return Retries(count=count, on=among(wanted, _RETRY_ON, "RetryOn", notes), statuses=good)
