"""Hosts and paths to clusters: the route configuration of each HTTP listener.

A route never names a cluster that is not served (Envoy acknowledges such a route and answers 503 without a
word); it answers 503 itself and says which service is missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from envoy.config.route.v3.route_components_pb2 import Route as EnvoyRoute
from envoy.config.route.v3.route_components_pb2 import RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from xds_server.model.policy import Listener, Protocol, Route, ServicePolicy, WeightedService
from xds_server.model.problem import Code, Problem
from xds_server.model.route import ANY_REQUEST, AS_IT_IS, PathKind, Rule
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.translate import by_name, meaning, names
from xds_server.translate.domains import service_domains
from xds_server.translate.meaning import Meaning
from xds_server.translate.memory import once
from xds_server.translate.packing import Draft, Reference, draft
from xds_server.translate.rules import envoy_routes, unavailable

ANY_HOST: Final = "*"

NO_SUCH_SERVICE: Final = "no service with this host name is in the catalog\n"

_PATH_ORDER: Final = {PathKind.EXACT: 0, PathKind.SEGMENTS: 1, PathKind.PREFIX: 1, PathKind.REGEX: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByName:
    """That services are found by their name: all that are reached as `common` says.

    Only the `listed` ones have a virtual host of their own. `refused` are domains that nothing is found by.
    """

    common: ServicePolicy
    listed: frozenset[str]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What routes may lead to: the services that have their clusters, in sorted order.

    `clusters` has the policy of each cluster by its name. With `by_name` other services can be found too;
    without it each one has a virtual host of its own.
    """

    datacenter: str
    services: Table[Meaning]
    clusters: Table[ServicePolicy]
    by_name: ByName | None = None

    @classmethod
    def of(cls, datacenter: str, services: Mapping[str, Meaning]) -> "Served":
        """Gather the clusters of services."""
        clusters = {spec.name: spec.policy for one in services.values() for spec in one.clusters}
        return cls(datacenter=datacenter, services=Table(services), clusters=Table(clusters))

    def changed(self, services: Mapping[str, Meaning | None]) -> "Served":
        """Give the same with other meanings of some services; None for one that is not there.

        No other service leads to the clusters of these.
        """
        clusters: dict[str, ServicePolicy | None] = {}
        for name, new in services.items():
            old = self.services.get(name)
            clusters |= {spec.name: None for spec in (old.clusters if old else ())}
            clusters |= {spec.name: spec.policy for spec in (new.clusters if new else ())}
        return replace(
            self, services=self.services.changed(services), clusters=self.clusters.changed(clusters)
        )


def route_configuration(listener: Listener, served: Served) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the route configuration of an HTTP listener and what in it could not be honoured."""
    hosts, problems = claimed_hosts(listener.routes, served)
    if listener.all_services:
        claimed = claims(listener)
        domains, taken = service_domains(served.services, served.datacenter)
        for service in domains if served.by_name is None else sorted(served.by_name.listed):
            free = tuple(domain for domain in domains[service] if domain not in claimed)
            if free:
                rules = served.services[service].rules
                hosts.append(virtual_host(f"service/{service}", free, rules, served.clusters))
        if ANY_HOST not in claimed:
            hosts.extend(_for_other_hosts(served))
        problems += taken
    message = RouteConfiguration(
        name=names.route_configuration(listener.name), virtual_hosts=hosts, ignore_port_in_host_matching=True
    )
    return draft(TypeUrl.ROUTES, message.name, message, cluster_references(hosts)), problems


def claims(listener: Listener) -> frozenset[str]:
    """Give the hosts that routes of the listener are for."""
    return frozenset(host for route in listener.routes for host in route.hosts)


def usable_targets(
    targets: Iterable[WeightedService], served: Served, source: str
) -> tuple[tuple[WeightedService, ...], tuple[Problem, ...]]:
    """Split the targets of a route or TCP listener: those with a cluster, and problems for the rest."""
    usable, problems = [], []
    for target in targets:
        if missing := _missing(target, served):
            problems.append(Problem(code=Code.ROUTE_UNKNOWN_SERVICE, source=source, sentence=missing))
        else:
            usable.append(target)
    return tuple(usable), tuple(problems)


def _missing(target: WeightedService, served: Served) -> str:
    """Say which part of a target is not there; empty if all of it is."""
    if target.service not in served.services:
        return f'service "{target.service}" is not in the catalog; register it or mend the route'
    if (target.subset, target.port) in served.services[target.service].ways:
        return ""
    if target.port:
        return f'service "{target.service}" has no port called "{target.port}"; register it or mend the route'
    return (
        f'service "{target.service}" has no subset "{target.subset}"; give instances xds-subset: '
        f"{target.subset}, or mend the route"
    )


# --- virtual hosts -----------------------------------------------------------------------------------


def claimed_hosts(routes: Iterable[Route], served: Served) -> tuple[list[VirtualHost], tuple[Problem, ...]]:
    """Give a virtual host for every host that routes are for, the routes that ask for most first."""
    by_host: defaultdict[str, list[tuple[Route, list[EnvoyRoute]]]] = defaultdict(list)
    problems: list[Problem] = []
    for route in routes:
        rules = _rules(route, served, problems)
        built = _built(rules, served.clusters)
        for host in route.hosts:
            by_host[host].append((route, built))
    hosts = []
    for host in sorted(by_host):
        ordered = sorted(by_host[host], key=lambda pair: precedence(pair[0]))
        routed = [one for _, built in ordered for one in built]
        hosts.append(VirtualHost(name=f"host/{host}", domains=[host], routes=routed))
    return hosts, tuple(problems)


def precedence(route: Route) -> tuple[int, int, int, int]:
    """Give what the routes of a host are sorted by, as Envoy takes the first that matches.

    By priority, then exact paths, longer prefixes and regular expressions, then by the number of conditions.
    """
    match = route.match
    conditions = len(match.headers) + len(match.query) + bool(match.methods)
    return -route.priority, _PATH_ORDER[match.path.kind], -len(match.path.value), -conditions


def virtual_host(
    name: str, domains: Iterable[str], rules: Iterable[Rule], clusters: Mapping[str, ServicePolicy]
) -> VirtualHost:
    """Give the virtual host called `name` with the routes of `rules`, in their order."""
    return VirtualHost(name=name, domains=domains, routes=_built(rules, clusters))


def _built(rules: Iterable[Rule], clusters: Mapping[str, ServicePolicy]) -> list[EnvoyRoute]:
    """Give the routes of rules, in their order, to be copied."""
    return [route for rule in rules for route in _routes(rule, *_policies(rule, clusters))]


def _policies(rule: Rule, clusters: Mapping[str, ServicePolicy]) -> Iterable[ServicePolicy]:
    return (clusters[branch.cluster] for branch in rule.branches)


@once
def _routes(rule: Rule, *policies: ServicePolicy) -> tuple[EnvoyRoute, ...]:
    return envoy_routes(rule, policies)


def cluster_references(hosts: Iterable[VirtualHost]) -> tuple[Reference, ...]:
    """Give the clusters that virtual hosts lead to, in sorted order."""
    found: set[str] = set()
    for host in hosts:
        for route in host.routes:
            found.add(route.route.cluster)
            found.update(branch.name for branch in route.route.weighted_clusters.clusters)
    return tuple(Reference(TypeUrl.CLUSTER, name) for name in sorted(found - {""}))


def _for_other_hosts(served: Served) -> Iterable[VirtualHost]:
    rest = served.by_name
    if rest is None:
        yield _no_such_service((ANY_HOST,))
        return
    if rest.refused:
        yield _no_such_service(rest.refused)
    yield by_name.virtual_host(names.BY_NAME, ANY_HOST, rest.common, served.datacenter)


def _no_such_service(domains: Iterable[str]) -> VirtualHost:
    return VirtualHost(
        name=names.CATCH_ALL,
        domains=domains,
        routes=[EnvoyRoute(match=RouteMatch(prefix="/"), direct_response=unavailable(NO_SUCH_SERVICE))],
    )


def _rules(route: Route, served: Served, problems: list[Problem]) -> Sequence[Rule]:
    """Give what a route comes to.

    One that takes every request to one whole service means what the service itself means, with all its own
    conditions; any other leads past them.
    """
    targets, missing = usable_targets(route.targets, served, route.source)
    problems.extend(missing)
    spoken = tuple(t for t in targets if served.services[t.service].policy.protocol is not Protocol.TCP)
    for target in targets:
        if target not in spoken:
            sentence = (
                f'service "{target.service}" has protocol tcp; give it an HTTP protocol or a TCP listener'
            )
            problems.append(Problem(code=Code.ROUTE_NOT_HTTP, source=route.source, sentence=sentence))
    if not spoken:
        asked = ", ".join(target.service for target in route.targets)
        reason = f"no HTTP service: {asked}\n" if targets else f"no such service: {asked}\n"
        return [Rule(match=route.match, branches=(), source=route.source, reason=reason)]
    only = spoken[0]
    if len(spoken) == 1 and (only.subset, only.port) == meaning.WHOLE and _takes_everything(route):
        return served.services[only.service].rules
    branches = meaning.branches(spoken, served.services)
    return [Rule(match=route.match, branches=branches, treatment=route.treatment, source=route.source)]


def _takes_everything(route: Route) -> bool:
    return route.match == ANY_REQUEST and route.treatment == AS_IT_IS
