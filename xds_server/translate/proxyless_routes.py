"""The routes of gRPC clients: one route configuration for each host, which has the host's name.

The listener has chosen by the name already, so its one virtual host takes every authority. gRPC knows neither
path-separated prefixes nor direct responses (gRFC A28): it refuses the first, and fails the calls that meet
the second, which is what is wanted of a route that leads nowhere. Retries of calls that no instance has seen
it makes by itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from envoy.config.route.v3.route_components_pb2 import Route as EnvoyRoute
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from xds_server.model.policy import HashKind, Route, ServicePolicy, WeightedService
from xds_server.model.problem import Code, Problem
from xds_server.model.route import Branch
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.packing import Draft, Reference, draft
from xds_server.translate.routes import precedence
from xds_server.translate.rules import hash_sources, weighted_clusters

Services: TypeAlias = Mapping[str, ServicePolicy]
"""The services that gRPC clients can call, with their policies."""

_UNAVAILABLE: Final = 503

# One hash for all calls of a channel: what a source address or a cookie is to Envoy (gRFC A42).
_BY_CHANNEL: Final = RouteAction.HashPolicy(
    filter_state=RouteAction.HashPolicy.FilterState(key="io.grpc.channel_id")
)


def service_routes(host: str, service: str, policy: ServicePolicy) -> Draft:
    """Give the route configuration of a host that means one service."""
    action = _action((WeightedService(service=service),), {service: policy})
    return _configuration(host, [EnvoyRoute(match=RouteMatch(prefix="/"), route=action)])


def host_routes(
    host: str, routes: Iterable[Route], services: Services
) -> tuple[Draft | None, tuple[Problem, ...]]:
    """Give the route configuration of a host that the operator claimed, and what could not be honoured.

    It is None where no route leads to a service that gRPC clients can call.
    """
    problems: list[Problem] = []
    made: list[EnvoyRoute] = []
    for route in sorted(routes, key=precedence):
        targets = tuple(target for target in route.targets if target.service in services)
        if targets:
            problems.extend(_left_out(route, services))
        made.extend(_routes(route.match.path.value, targets, services))
    if not any(route.HasField("route") for route in made):
        return None, ()
    return _configuration(host, made), tuple(problems)


def _routes(prefix: str, targets: tuple[WeightedService, ...], services: Services) -> Iterator[EnvoyRoute]:
    """Give the routes of a path prefix: `/a.B` takes `/a.B/C` and `/a.B`, not `/a.Bee/C`."""
    if prefix.endswith("/"):
        matches = [RouteMatch(prefix=prefix)]
    else:
        matches = [RouteMatch(path=prefix), RouteMatch(prefix=f"{prefix}/")]
    for match in matches:
        if targets:
            yield EnvoyRoute(match=match, route=_action(targets, services))
        else:
            yield EnvoyRoute(match=match, direct_response=DirectResponseAction(status=_UNAVAILABLE))


def _left_out(route: Route, services: Services) -> Iterator[Problem]:
    for target in route.targets:
        if target.service not in services:
            sentence = (
                f'gRPC clients cannot call service "{target.service}"; '
                "its share goes to the others of the split"
            )
            yield Problem(code=Code.GRPC_ROUTE_TARGET, source=route.source, sentence=sentence)


def _action(targets: tuple[WeightedService, ...], services: Services) -> RouteAction:
    action = RouteAction()
    if len(targets) == 1:
        action.cluster = names.cluster(targets[0].service)
    else:
        branches = (Branch(cluster=names.cluster(one.service), weight=one.weight) for one in targets)
        action.weighted_clusters.CopyFrom(weighted_clusters(branches))
    sources = [source for target in targets for source in hash_sources(services[target.service])]
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
