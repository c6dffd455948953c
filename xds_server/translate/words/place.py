"""Where granted routes go: on which listeners, and behind what the operator wrote there."""

from collections.abc import Iterator
from dataclasses import replace

from xds_server.model.policy import Discovery, Listener, ListenerKind, Route
from xds_server.model.problem import Code, Problem
from xds_server.translate.words.said import Granted
from xds_server.translate.words.values import quoted


def placed(
    listeners: tuple[Listener, ...], granted: Granted
) -> tuple[tuple[Listener, ...], tuple[Problem, ...]]:
    """Give the listeners with the routes that services were granted, and why others have no place.

    A service's route never goes before one of the operator for the same host and conditions, and its priority
    counts only on hosts that the operator has no route for.
    """
    found, problems = [], list(_nowhere(listeners, granted))
    for listener in listeners:
        routes = [
            placed_route
            for route in _asked(listener, granted)
            if (placed_route := _placed(route, listener, problems)) is not None
        ]
        found.append(replace(listener, routes=(*listener.routes, *routes)) if routes else listener)
    return tuple(found), tuple(problems)


def _asked(listener: Listener, granted: Granted) -> Iterator[Route]:
    if listener.kind is ListenerKind.HTTP:
        yield from granted.routes.get(listener.name, ())
        if listener.all_services:
            yield from granted.routes.get("", ())


def _placed(route: Route, listener: Listener, problems: list[Problem]) -> Route | None:
    (host,) = route.hosts
    if _hides_services(host, listener):
        sentence = (
            f"listener {quoted(listener.name)} is on demand, where a route for host {quoted(host)} would "
            "hide services not held yet; ask for another host, or name another listener"
        )
        problems.append(Problem(code=Code.ROUTE_DENIED, source=route.source, sentence=sentence))
        return None
    own = [one for one in listener.routes if host in one.hosts]
    same = next((one for one in own if one.match == route.match), None)
    if same is not None:
        sentence = (
            f"host {quoted(host)} with path {quoted(route.match.path.value)} belongs to {same.source}, which "
            "goes before anything that a service asks for; remove one of the two"
        )
        problems.append(Problem(code=Code.ROUTE_CONTESTED, source=route.source, sentence=sentence))
        return None
    return replace(route, priority=min(route.priority, 0)) if own else route


def _hides_services(host: str, listener: Listener) -> bool:
    """Tell whether Envoy would no longer ask for a service: it asks for what nothing it holds matches."""
    if listener.discovery is not Discovery.ON_DEMAND or not listener.all_services:
        return False
    return host == "*" or (host.startswith("*.") and host.endswith(".consul"))


def _nowhere(listeners: tuple[Listener, ...], granted: Granted) -> Iterator[Problem]:
    """Tell of routes for a listener that is not there or does not understand HTTP."""
    spoken = [listener for listener in listeners if listener.kind is ListenerKind.HTTP]
    names = {listener.name for listener in spoken}
    if any(listener.all_services for listener in spoken):
        names.add("")
    for name in sorted(granted.routes.keys() - names):
        what = f"there is no HTTP listener {quoted(name)}" if name else "no listener has all_services"
        for route in granted.routes[name]:
            sentence = f"{what}; the route is left out: name a listener that is there"
            yield Problem(code=Code.ROUTE_UNKNOWN_LISTENER, source=route.source, sentence=sentence)
