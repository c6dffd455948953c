"""What a request must be like, and what is done with it: the part of a route that leads nowhere yet.

The words are Envoy's (`config.route.v3.RouteMatch` and `RouteAction`); every source of routes, the settings
file, Consul's service-router and the registrations, is turned into these values.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class PathKind(StrEnum):
    """How a path is compared: as a whole, from its beginning, by whole segments from there, or by RE2."""

    EXACT = "exact"
    PREFIX = "prefix"
    SEGMENTS = "segments"
    REGEX = "regex"


class TextKind(StrEnum):
    """How a header or a query parameter is compared."""

    PRESENT = "present"
    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    CONTAINS = "contains"
    REGEX = "regex"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMatch:
    """The path of a request; `SEGMENTS` takes `/orders` and `/orders/1` for `/orders`, not `/ordersheet`."""

    kind: PathKind = PathKind.SEGMENTS
    value: str = "/"
    ignore_case: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMatch:
    """One header or query parameter called `name`; with `invert` everything but what matches."""

    name: str
    kind: TextKind = TextKind.PRESENT
    value: str = ""
    invert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMatch:
    """All of it has to hold; `methods` are upper case, any for none."""

    path: PathMatch = PathMatch()
    headers: tuple[TextMatch, ...] = ()
    query: tuple[TextMatch, ...] = ()
    methods: tuple[str, ...] = ()

    @classmethod
    def below(cls, prefix: str) -> "RouteMatch":
        """Take every request whose path begins with the segments of `prefix`."""
        return cls(path=PathMatch(value=prefix))


ANY_REQUEST: Final = RouteMatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderChanges:
    """Headers to append, to overwrite and to remove. Values are literal: no formatter of Envoy sees them."""

    add: Pairs = ()
    set: Pairs = ()
    remove: tuple[str, ...] = ()


NO_CHANGES: Final = HeaderChanges()


RETRY_ON: Final = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "refused-stream",
        "retriable-4xx",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    }
)
"""Conditions that need nothing beside them (Envoy, "x-envoy-retry-on" and "x-envoy-retry-grpc-on")."""

SAFE_RETRIES: Final = ("connect-failure", "refused-stream", "reset-before-request")
"""Failures in which no instance saw the request, so that a retry is safe for every method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When and how often a request is sent again, in the words of Envoy's `x-envoy-retry-on`.

    `statuses` are answers to retry on; `per_try` is how long one attempt may take, in seconds.
    """

    count: int = 1
    on: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    per_try: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What is done with a request that matches. `None` leaves it to Envoy, or to the default retries.

    `prefix_rewrite` takes the place of what the path match matched. `timeout` and `idle_timeout` are
    seconds, 0 for no limit.
    """

    prefix_rewrite: str | None = None
    timeout: float | None = None
    idle_timeout: float | None = None
    retries: Retries | None = None
    request: HeaderChanges = NO_CHANGES
    response: HeaderChanges = NO_CHANGES


AS_IT_IS: Final = Treatment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One way a request can go: an Envoy cluster, its share relative to the sum, and header changes."""

    cluster: str
    weight: int = 1
    request: HeaderChanges = NO_CHANGES
    response: HeaderChanges = NO_CHANGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Requests that match go to one of `branches` by weight; `source` says who wants it.

    Without a branch they are answered 503, with `reason` as the body.
    """

    match: RouteMatch = ANY_REQUEST
    branches: tuple[Branch, ...]
    treatment: Treatment = AS_IT_IS
    source: str = ""
    reason: str = ""
