"""The routes of gRPC clients: one route configuration for each host, which has the host's name.

The listener has chosen by the name already, so its one virtual host takes every authority. gRPC knows neither
path-separated prefixes nor direct responses (gRFC A28): it refuses the first, and fails the calls that meet
the second, which is what is wanted of a route that leads nowhere. Retries of calls that no instance has seen
it makes by itself. Every call is a POST without a query.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RetryPolicy,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from envoy.config.route.v3.route_components_pb2 import Route as EnvoyRoute
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.policy import HashKind, Route, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.model.route import ANY_REQUEST, AS_IT_IS, NO_CHANGES, Branch, PathKind, PathMatch, Rule
from xds_server.model.route import RouteMatch as Match
from xds_server.model.types import TypeUrl
from xds_server.translate import meaning
from xds_server.translate.matches import route_match
from xds_server.translate.meaning import WHOLE, Meaning
from xds_server.translate.packing import Draft, Reference, draft, duration
from xds_server.translate.routes import Served, precedence
from xds_server.translate.rules import hash_sources, weighted_clusters

_UNAVAILABLE: Final = 503
_METHOD: Final = "POST"

# What gRPC retries on; the rest of a list it passes over (gRFC A44).
_RETRIED: Final = frozenset(
    {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
)

_NO_PSEUDO_HEADERS: Final = (
    "gRPC clients compare no header like :authority, so they are not told of this route: "
    "compare another header"
)
_NO_CHANGES: Final = (
    "gRPC clients neither rewrite paths nor change headers, so their calls go on as they are: "
    "let the service do it, or call through an Envoy"
)

# One hash for all calls of a channel: what a source address or a cookie is to Envoy (gRFC A42).
_BY_CHANNEL: Final = RouteAction.HashPolicy(
    filter_state=RouteAction.HashPolicy.FilterState(key="io.grpc.channel_id")
)


def service_routes(
    host: str, rules: Iterable[Rule], clusters: Mapping[str, ServicePolicy]
) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the route configuration of a host that means one service, and what gRPC cannot do of it."""
    problems: list[Problem] = []
    routes = [one for rule in rules for one in _routes(rule, clusters, problems)]
    return _configuration(host, routes), tuple(dict.fromkeys(problems))


def host_routes(
    host: str, routes: Iterable[Route], served: Served
) -> tuple[Draft | None, tuple[Problem, ...]]:
    """Give the route configuration of a host that the operator claimed, and what could not be honoured.

    It is None where no route leads to a service that gRPC clients can call.
    """
    problems: list[Problem] = []
    made: list[EnvoyRoute] = []
    for route in sorted(routes, key=precedence):
        for rule in _rules(route, served.services, problems):
            made.extend(_routes(rule, served.clusters, problems))
    if not any(route.HasField("route") for route in made):
        return None, ()
    return _configuration(host, made), tuple(dict.fromkeys(problems))


# --- rules -------------------------------------------------------------------------------------------


def _rules(route: Route, services: Mapping[str, Meaning], problems: list[Problem]) -> Iterable[Rule]:
    """Give what a route comes to: where it is the whole of one service, that service's own rules."""
    usable = tuple(
        target
        for target in route.targets
        if target.service in services and (target.subset, target.port) in services[target.service].ways
    )
    for target in route.targets:
        if usable and target not in usable:
            named = "@".join(filter(None, (target.service, target.subset)))
            sentence = (
                f'gRPC clients cannot call service "{named}"; its share goes to the others of the split'
            )
            problems.append(Problem(code=Code.GRPC_ROUTE_TARGET, source=route.source, sentence=sentence))
    only = usable[0] if len(usable) == 1 else None
    is_plain = route.match == ANY_REQUEST and route.treatment == AS_IT_IS
    if only is not None and is_plain and (only.subset, only.port) == WHOLE:
        return services[only.service].rules
    branches = meaning.branches(usable, services)
    return (Rule(match=route.match, branches=branches, treatment=route.treatment, source=route.source),)


def _routes(
    rule: Rule, clusters: Mapping[str, ServicePolicy], problems: list[Problem]
) -> Iterator[EnvoyRoute]:
    """Give the routes of a rule; none if no call can be like what it asks for."""
    if rule.match.query or (rule.match.methods and _METHOD not in rule.match.methods):
        return
    if any(header.name.startswith(":") for header in rule.match.headers):
        problems.append(_left_out(rule, _NO_PSEUDO_HEADERS))
        return
    if rule.treatment.prefix_rewrite is not None or _changes_headers(rule):
        problems.append(_left_out(rule, _NO_CHANGES))
    for match in _matches(replace(rule.match, methods=())):
        if rule.branches:
            yield EnvoyRoute(match=match, route=_action(rule, clusters))
        else:
            yield EnvoyRoute(match=match, direct_response=DirectResponseAction(status=_UNAVAILABLE))


def _matches(match: Match) -> list[RouteMatch]:
    """Give a match that gRPC knows, or two: `/a.B` takes `/a.B/C` and `/a.B`, not `/a.Bee/C`."""
    path = match.path
    if path.kind is not PathKind.SEGMENTS or path.value.endswith("/"):
        return [route_match(match)]
    whole = PathMatch(kind=PathKind.EXACT, value=path.value, ignore_case=path.ignore_case)
    below = PathMatch(kind=PathKind.PREFIX, value=f"{path.value}/", ignore_case=path.ignore_case)
    return [route_match(replace(match, path=one)) for one in (whole, below)]


def _changes_headers(rule: Rule) -> bool:
    changes = [rule.treatment.request, rule.treatment.response]
    changes += [change for branch in rule.branches for change in (branch.request, branch.response)]
    return any(change != NO_CHANGES for change in changes)


def _left_out(rule: Rule, sentence: str) -> Problem:
    return Problem(code=Code.GRPC_ROUTE_TARGET, source=rule.source, sentence=sentence)


# --- what is done with a call ------------------------------------------------------------------------


def _action(rule: Rule, clusters: Mapping[str, ServicePolicy]) -> RouteAction:
    action = RouteAction()
    branches = meaning.combined((one.weight, [Branch(cluster=one.cluster)]) for one in rule.branches)
    if len(branches) == 1:
        action.cluster = branches[0].cluster
    else:
        action.weighted_clusters.CopyFrom(weighted_clusters(branches))
    if rule.treatment.timeout is not None:
        # gRFC A31; Envoy's own `timeout` gRPC does not look at.
        action.max_stream_duration.max_stream_duration.CopyFrom(duration(rule.treatment.timeout))
    if (retries := rule.treatment.retries) is not None and (known := _RETRIED.intersection(retries.on)):
        action.retry_policy.CopyFrom(
            RetryPolicy(retry_on=",".join(sorted(known)), num_retries=UInt32Value(value=retries.count))
        )
    sources = [source for one in branches for source in hash_sources(clusters[one.cluster])]
    for header in dict.fromkeys(source.name if source.kind is HashKind.HEADER else "" for source in sources):
        action.hash_policy.append(_hash_policy(header))
    return action


def _hash_policy(header: str) -> RouteAction.HashPolicy:
    """Hash a header, or where it has no name the channel."""
    if not header:
        return _BY_CHANNEL
    return RouteAction.HashPolicy(header=RouteAction.HashPolicy.Header(header_name=header))


def _configuration(host: str, routes: list[EnvoyRoute]) -> Draft:
    message = RouteConfiguration(
        name=host, virtual_hosts=[VirtualHost(name=host, domains=["*"], routes=routes)]
    )
    clusters = {route.route.cluster for route in routes}
    clusters.update(branch.name for route in routes for branch in route.route.weighted_clusters.clusters)
    references = tuple(Reference(TypeUrl.CLUSTER, name) for name in sorted(clusters - {""}))
    return draft(TypeUrl.ROUTES, host, message, references)
