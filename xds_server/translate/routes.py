"""Hosts and paths to clusters: the route configuration of each HTTP listener.

A route never names a cluster that is not served (Envoy acknowledges such a route and answers 503 without a
word); it answers 503 itself and says which service is missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RetryPolicy,
    RouteAction,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)
from envoy.config.route.v3.route_components_pb2 import Route as EnvoyRoute
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.policy import (
    HashKind,
    HashOn,
    LbPolicy,
    Listener,
    Protocol,
    Route,
    ServicePolicy,
    WeightedService,
)
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.domains import service_domains
from xds_server.translate.packing import Draft, Reference, draft, pack

ANY_HOST: Final = "*"

UNAVAILABLE: Final = 503
NO_SUCH_SERVICE: Final = "no service with this host name is in the catalog\n"

# Only failures in which no instance saw the request, so a retry is safe for every method.
_RETRY: Final = RetryPolicy(
    retry_on="connect-failure,refused-stream,reset-before-request",
    num_retries=UInt32Value(value=2),
    retry_host_predicate=[
        RetryPolicy.RetryHostPredicate(
            name="envoy.retry_host_predicates.previous_hosts", typed_config=pack(PreviousHostsPredicate())
        )
    ],
    host_selection_retry_max_attempts=3,
)

_HASHED: Final = frozenset({LbPolicy.RING_HASH, LbPolicy.MAGLEV})
_BY_SOURCE: Final = (HashOn(kind=HashKind.SOURCE_IP),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What routes may lead to: the services that have a cluster, with their policies, in sorted order."""

    datacenter: str
    services: Mapping[str, ServicePolicy]


def route_configuration(listener: Listener, served: Served) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the route configuration of an HTTP listener and what in it could not be honoured."""
    hosts, problems = claimed_hosts(listener.routes, served)
    if listener.all_services:
        claimed = claims(listener)
        domains, taken = service_domains(served.services, served.datacenter)
        for service, own in domains.items():
            free = tuple(domain for domain in own if domain not in claimed)
            if free:
                name = f"service/{service}"
                hosts.append(service_host(name, free, service, served.services[service]))
        if ANY_HOST not in claimed:
            hosts.append(_catch_all())
        problems += taken
    message = RouteConfiguration(
        name=names.route_configuration(listener.name), virtual_hosts=hosts, ignore_port_in_host_matching=True
    )
    return draft(TypeUrl.ROUTES, message.name, message, cluster_references(hosts)), problems


def claims(listener: Listener) -> frozenset[str]:
    """Give the hosts that the operator's own routes are for."""
    return frozenset(host for route in listener.routes for host in route.hosts)


def usable_targets(
    targets: Iterable[WeightedService], served: Served, source: str
) -> tuple[tuple[WeightedService, ...], tuple[Problem, ...]]:
    """Split the targets of a route or TCP listener: those with a cluster, and problems for the rest."""
    usable, problems = [], []
    for target in targets:
        if target.service in served.services:
            usable.append(target)
        else:
            sentence = f'service "{target.service}" is not in the catalog; register it or mend the route'
            problems.append(Problem(code=Code.ROUTE_UNKNOWN_SERVICE, source=source, sentence=sentence))
    return tuple(usable), tuple(problems)


def hash_sources(policy: ServicePolicy) -> tuple[HashOn, ...]:
    """Give what a hashing load balancer hashes: the source address unless the policy names something else."""
    if policy.lb_policy not in _HASHED:
        return ()
    return policy.hash_on or _BY_SOURCE


# --- virtual hosts -----------------------------------------------------------------------------------


def claimed_hosts(routes: Iterable[Route], served: Served) -> tuple[list[VirtualHost], tuple[Problem, ...]]:
    """Give a virtual host for every host the operator wrote, its routes by longest prefix first."""
    by_host: defaultdict[str, list[tuple[Route, EnvoyRoute]]] = defaultdict(list)
    problems: list[Problem] = []
    for route in routes:
        built = _route(route, served, problems)
        for host in route.hosts:
            by_host[host].append((route, built))
    hosts = []
    for host in sorted(by_host):
        ordered = sorted(by_host[host], key=lambda pair: -len(pair[0].path_prefix))
        routed = [built for _, built in ordered]
        hosts.append(VirtualHost(name=f"host/{host}", domains=[host], routes=routed))
    return hosts, tuple(problems)


def service_host(name: str, domains: Iterable[str], service: str, policy: ServicePolicy) -> VirtualHost:
    """Give the virtual host called `name`, which leads everything to one service."""
    action = _action((WeightedService(service=service),), (policy,))
    return VirtualHost(name=name, domains=domains, routes=[EnvoyRoute(match=_match("/"), route=action)])


def cluster_references(hosts: Iterable[VirtualHost]) -> tuple[Reference, ...]:
    """Give the clusters that virtual hosts lead to, in sorted order."""
    found: set[str] = set()
    for host in hosts:
        for route in host.routes:
            found.add(route.route.cluster)
            found.update(branch.name for branch in route.route.weighted_clusters.clusters)
    return tuple(Reference(TypeUrl.CLUSTER, name) for name in sorted(found - {""}))


def _catch_all() -> VirtualHost:
    return VirtualHost(
        name=names.CATCH_ALL,
        domains=[ANY_HOST],
        routes=[EnvoyRoute(match=_match("/"), direct_response=_unavailable(NO_SUCH_SERVICE))],
    )


# --- routes ------------------------------------------------------------------------------------------


def _route(route: Route, served: Served, problems: list[Problem]) -> EnvoyRoute:
    targets, missing = usable_targets(route.targets, served, route.source)
    problems.extend(missing)
    spoken = tuple(t for t in targets if served.services[t.service].protocol is not Protocol.TCP)
    for target in targets:
        if target not in spoken:
            sentence = (
                f'service "{target.service}" has protocol tcp; give it an HTTP protocol or a TCP listener'
            )
            problems.append(Problem(code=Code.ROUTE_NOT_HTTP, source=route.source, sentence=sentence))
    match = _match(route.path_prefix)
    if not spoken:
        asked = ", ".join(target.service for target in route.targets)
        reason = f"no HTTP service: {asked}\n" if targets else f"no such service: {asked}\n"
        return EnvoyRoute(match=match, direct_response=_unavailable(reason))
    policies = [served.services[target.service] for target in spoken]
    return EnvoyRoute(match=match, route=_action(spoken, policies))


def _match(prefix: str) -> RouteMatch:
    """Match whole path segments: `/orders` takes `/orders` and `/orders/1`, not `/ordersheet`."""
    if prefix.endswith("/"):
        return RouteMatch(prefix=prefix)
    return RouteMatch(path_separated_prefix=prefix)


def _action(targets: tuple[WeightedService, ...], policies: Sequence[ServicePolicy]) -> RouteAction:
    action = RouteAction(retry_policy=_RETRY)
    if len(targets) == 1:
        action.cluster = names.cluster(targets[0].service)
    else:
        action.weighted_clusters.CopyFrom(weighted_clusters(targets))
    if any(policy.protocol is Protocol.GRPC for policy in policies):
        # A gRPC call carries its own deadline; Envoy's default of 15 s would cut streams.
        action.timeout.CopyFrom(Duration())
    for source in dict.fromkeys(source for policy in policies for source in hash_sources(policy)):
        action.hash_policy.append(_hash_policy(source))
    return action


def weighted_clusters(targets: Iterable[WeightedService]) -> WeightedCluster:
    """Give the branches of a split in the order they were written."""
    return WeightedCluster(
        clusters=[
            WeightedCluster.ClusterWeight(
                name=names.cluster(target.service), weight=UInt32Value(value=target.weight)
            )
            for target in targets
        ]
    )


def _hash_policy(source: HashOn) -> RouteAction.HashPolicy:
    match source.kind:
        case HashKind.HEADER:
            return RouteAction.HashPolicy(header=RouteAction.HashPolicy.Header(header_name=source.name))
        case HashKind.COOKIE:
            return RouteAction.HashPolicy(cookie=RouteAction.HashPolicy.Cookie(name=source.name))
        case HashKind.SOURCE_IP:
            properties = RouteAction.HashPolicy.ConnectionProperties(source_ip=True)
            return RouteAction.HashPolicy(connection_properties=properties)


def _unavailable(reason: str) -> DirectResponseAction:
    return DirectResponseAction(status=UNAVAILABLE, body=DataSource(inline_string=reason))
