"""What instances say, as values: of one registration, of a whole service, and of what was granted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from xds_server.model.entries import Override
from xds_server.model.policy import Route
from xds_server.model.problem import Problem
from xds_server.model.route import AS_IT_IS, RouteMatch, Treatment
from xds_server.translate.words.values import quoted

_PLAIN: Final = re.compile(r"[A-Za-z0-9._/:*@\[\]-]{1,80}", re.ASCII)

_VALUE: Final = re.compile(r"[=\s]")


def _shown(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quoted(text)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Sign:
    """The very piece of a registration that says something: a pair of Meta, or a tag, which has no `key`."""

    key: str
    text: str

    def __str__(self) -> str:
        """Name it in a source: `meta xds-route`, `tag xds.route`."""
        if self.key:
            return f"meta {_shown(self.key)}"
        return f"tag {_shown(_VALUE.split(self.text, 1)[0])}"

    @property
    def condition(self) -> str:
        """The filter expression of Consul that picks the instances that say the same.

        https://developer.hashicorp.com/consul/api-docs/features/filtering . Only for signs whose text has
        passed a parser, so that it needs no escape.
        """
        if self.key:
            return f'Service.Meta["{self.key}"] == "{self.text}"'
        return f'"{self.text}" in Service.Tags'


Pieces: TypeAlias = tuple[Sign, ...]
"""The pairs of Meta and the tags of one registration that somebody may understand, Meta first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A value, the sign that it was taken from, and the signs that say otherwise in the same registration."""

    value: Any
    sign: Sign
    overruled: tuple[Sign, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A route as it was asked for.

    `host` is an Envoy domain, `*` for any; `listener` is empty for every HTTP listener with all services.
    """

    host: str
    match: RouteMatch
    treatment: Treatment = AS_IT_IS
    priority: int = 0
    listener: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRoute:
    """All that one name of a route stands for, and the sign that it was taken from."""

    routes: tuple[Asked, ...]
    sign: Sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one registration says.

    `words` are by the word; `closed` names routes that must not be served by any instance's wish, as
    something that restricts them is not understood.
    """

    words: Mapping[str, Stated] = field(default_factory=lambda: MappingProxyType({}))
    routes: Mapping[str, AskedRoute] = field(default_factory=lambda: MappingProxyType({}))
    closed: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A route that a service asks for; nothing is granted yet.

    `name` is the route's own. `subset` names the part of the service that it leads to, empty for all of it.
    `created` is the lowest CreateIndex of the instances that ask, 0 where nobody says.
    """

    name: str
    route: Asked
    subset: str = ""
    source: str
    created: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a service says of itself.

    `enabled` is None where it does not say. `subsets` are names with the filter expression of Consul that
    picks their instances; `canary` is that of the instances that take no share of the whole service, empty
    for none.
    """

    enabled: bool | None = None
    overrides: tuple[Override, ...] = ()
    wishes: tuple[Wish, ...] = ()
    subsets: tuple[tuple[str, str], ...] = ()
    canary: str = ""
    problems: tuple[Problem, ...] = ()


NOTHING = Words()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a route is: no two services have the same one. An empty `listener` is every one."""

    listener: str
    host: str
    match: RouteMatch


Owners: TypeAlias = Mapping[Place, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The routes that wishes have become, by listener (empty for every one), and who has which place."""

    routes: Mapping[str, tuple[Route, ...]]
    owners: Owners
    problems: tuple[Problem, ...] = ()
