"""Registrations for the tests of the service's own words."""

from collections.abc import Iterable, Mapping

from xds_server.model.catalog import Instance, Service, Status
from xds_server.model.policy import Claim, Dialect, Registrations
from xds_server.model.problem import Problem
from xds_server.translate import words
from xds_server.translate.words import Asked, Words

BOTH = frozenset(Dialect)
OPEN = Registrations(claims=(Claim(hosts=("*", "*.consul", "web"), services=("*",)),))


def instance(
    identity: str = "web-1",
    meta: Mapping[str, str] | None = None,
    tags: Iterable[str] = (),
    status: Status | None = None,
    created: int = 0,
) -> Instance:
    return Instance(
        node="n1",
        id=identity,
        address="10.0.0.1",
        port=8080,
        meta=tuple(sorted((meta or {}).items())),
        tags=tuple(tags),
        statuses=() if status is None else (status,),
        created=created,
    )


def said(*instances: Instance, dialects: frozenset[Dialect] = BOTH) -> Words:
    return words.read(Service.of("web", instances), dialects)


def of_meta(meta: Mapping[str, str]) -> Words:
    return said(instance(meta=meta))


def of_tags(*tags: str) -> Words:
    return said(instance(tags=tags))


def fields(found: Words) -> dict[str, object]:
    return {one.field: one.value for one in found.overrides}


def asked(found: Words) -> dict[str, list[Asked]]:
    """Give the routes by their names."""
    by_name: dict[str, list[Asked]] = {}
    for wish in found.wishes:
        by_name.setdefault(wish.name, []).append(wish.route)
    return by_name


def only(found: Words) -> Asked:
    """Give the one route that is asked for."""
    assert len(found.wishes) == 1, found
    return found.wishes[0].route


def codes(problems: Iterable[Problem]) -> list[str]:
    return sorted(str(problem.code) for problem in problems)
