"""What services may have of what they ask for: what the operator lets them claim, first come first kept."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from xds_server.model.policy import Claim, Registrations, Route, WeightedService
from xds_server.model.problem import Code, Problem
from xds_server.model.route import PathKind, PathMatch
from xds_server.translate.words.said import Granted, Owners, Place, Wish
from xds_server.translate.words.values import quoted


@dataclass(frozen=True, slots=True)
class _Claimant:
    """A service with one of its wishes, and the place that it is about."""

    service: str
    wish: Wish
    place: Place


def grant(wishes: Mapping[str, tuple[Wish, ...]], registrations: Registrations, owners: Owners) -> Granted:
    """Decide on the wishes of every service.

    Without a claim of the operator that covers it a wish is denied. A place that two services ask for stays
    with the one of `owners` (who had what the last time), else goes to the one that was registered first,
    else to the first by name. Where nothing changed hands, the new owners are the same object.
    """
    problems: list[Problem] = []
    claimants: list[_Claimant] = []
    for service in sorted(wishes):
        for wish in wishes[service]:
            if any(_covers(claim, service, wish) for claim in registrations.claims):
                claimants.append(_Claimant(service, wish, _place(wish)))
            else:
                problems.append(_denied(service, wish))
    kept, contested = _settled(claimants, owners)
    now = {one.place: one.service for one in kept}
    return Granted(
        routes=_routes(kept),
        owners=owners if now == owners else MappingProxyType(now),
        problems=(*problems, *contested),
    )


def _place(wish: Wish) -> Place:
    return Place(listener=wish.route.listener, host=wish.route.host, match=wish.route.match)


def _denied(service: str, wish: Wish) -> Problem:
    route = wish.route
    host, path = quoted(route.host), quoted(route.match.path.value)
    sentence = (
        f"nothing in registrations.claims lets it have host {host} with path {path}; the operator can add "
        f"{{hosts: [{host}], path_prefix: {path}, services: [{quoted(service)}]}}"
    )
    return Problem(code=Code.ROUTE_DENIED, source=wish.source, sentence=sentence)


# --- claims ------------------------------------------------------------------------------------------


def _covers(claim: Claim, service: str, wish: Wish) -> bool:
    return (
        any(one in ("*", service) for one in claim.services)
        and any(_covers_host(one, wish.route.host) for one in claim.hosts)
        and _covers_path(claim.path_prefix, wish.route.match.path)
    )


def _covers_host(claimed: str, host: str) -> bool:
    """Tell whether a claim has a host in it: `*.example.com` has `a.example.com` and `*.a.example.com`.

    Names that services have themselves (without a dot, or below `consul`) are only in a claim that names
    them: a wildcard must not let one service take the traffic of another.
    """
    if claimed == host:
        return True
    bare = host.removeprefix("*.")
    if bare != "*" and ("." not in bare or bare.endswith(".consul")):
        return False
    if claimed == "*":
        return True
    return claimed.startswith("*.") and host.endswith(claimed[1:])


def _covers_path(prefix: str, path: PathMatch) -> bool:
    """Tell whether all that a path takes is below `prefix`, by whole segments: `/api` has not `/apis`."""
    below = prefix if prefix.endswith("/") else f"{prefix}/"
    whole = path.value == prefix and path.kind in (PathKind.EXACT, PathKind.SEGMENTS)
    return whole or path.value.startswith(below)


# --- contested places ------------------------------------------------------------------------------------


def _settled(
    claimants: Iterable[_Claimant], owners: Owners
) -> tuple[tuple[_Claimant, ...], tuple[Problem, ...]]:
    """Give each place to one service. A place on every listener is the same as that on any one."""
    kept: defaultdict[tuple[object, object], list[_Claimant]] = defaultdict(list)
    problems = []
    for one in sorted(claimants, key=lambda one: _precedence(one, owners)):
        same = kept[one.place.host, one.place.match]
        other = next((other for other in same if _meet(other.place.listener, one.place.listener)), None)
        if other is None:
            same.append(one)
        else:
            problems.append(_contested(one, other))
    every = (one for group in kept.values() for one in group)
    return tuple(sorted(every, key=_order)), tuple(problems)


def _precedence(one: _Claimant, owners: Owners) -> tuple[object, ...]:
    had_it = owners.get(one.place) == one.service
    unknown = not one.wish.created
    return (not had_it, unknown, one.wish.created, one.service, one.wish.subset, *_order(one))


def _order(one: _Claimant) -> tuple[str, ...]:
    route = one.wish.route
    return (route.host, one.service, one.wish.name, one.wish.source, route.match.path.value, route.listener)


def _meet(one: str, other: str) -> bool:
    return one == other or not one or not other


def _contested(one: _Claimant, other: _Claimant) -> Problem:
    host, path = quoted(one.place.host), quoted(one.place.match.path.value)
    if one.service == other.service:
        sentence = f"{other.wish.source} asks for host {host} with path {path} already; keep one of the two"
    else:
        sentence = (
            f"host {host} with path {path} belongs to service {quoted(other.service)}, which keeps it as "
            f"long as it asks for it, and service {quoted(one.service)} does not get it: change one of them"
        )
    return Problem(code=Code.ROUTE_CONTESTED, source=one.wish.source, sentence=sentence)


def _routes(kept: Iterable[_Claimant]) -> Mapping[str, tuple[Route, ...]]:
    found: defaultdict[str, list[Route]] = defaultdict(list)
    for one in kept:
        route = one.wish.route
        found[route.listener].append(
            Route(
                hosts=(route.host,),
                match=route.match,
                targets=(WeightedService(service=one.service, subset=one.wish.subset),),
                treatment=route.treatment,
                priority=route.priority,
                source=one.wish.source,
            )
        )
    return MappingProxyType({name: tuple(found[name]) for name in sorted(found)})
