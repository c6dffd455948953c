"""Discovery on demand: a proxy is told of a service when the first request for it is there.

Envoy's filter `envoy.filters.http.on_demand` holds a request while Envoy asks for the virtual host of its
Host header (VHDS), and then for the cluster that leads to (ODCDS). Both are parts of the incremental variant
(Envoy's pages "VHDS" and "On-demand VHDS, S/RDS and CDS Updates").
"""

from collections.abc import Iterable, Mapping
from typing import Final

from envoy.config.core.v3.config_source_pb2 import ConfigSource
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, Route, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration, Vhds
from envoy.extensions.filters.http.on_demand.v3.on_demand_pb2 import OnDemand, OnDemandCds
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpFilter,
)

from xds_server.model.policy import Discovery, Listener, Protocol, ServicePolicy
from xds_server.model.problem import Problem
from xds_server.model.types import TypeUrl
from xds_server.translate import listeners, names
from xds_server.translate.meaning import Meaning
from xds_server.translate.packing import Draft, draft, duration, on_demand, pack
from xds_server.translate.routes import (
    Served,
    claimed_hosts,
    cluster_references,
    virtual_host,
)
from xds_server.translate.sources import ADS

_FILTER: Final = HttpFilter(
    name="envoy.filters.http.on_demand", typed_config=pack(OnDemand(odcds=OnDemandCds(source=ADS)))
)

_NOT_FOUND: Final = 404

# A virtual host for every other host would leave nothing to be asked for; so where there is none even after
# asking, which Envoy flags as NR and answers with 404, its answer is made the one of that virtual host.
_NO_VIRTUAL_HOST: Final = listeners.no_such_service("NR")

# So that NR means no virtual host and nothing else: a path that no route of the operator's takes is answered
# by this one.
_NO_ROUTE: Final = Route(
    match=RouteMatch(prefix="/"), direct_response=DirectResponseAction(status=_NOT_FOUND)
)

# P-081: Envoy is ready when VHDS was answered with something or this has passed, its default being 15 s. At
# the start there is nothing to answer with, as nothing was asked for; 0 would be for ever.
_FIRST_ANSWER: Final = duration(0.001)


def route_configuration(listener: Listener, served: Served) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the route configuration of an on-demand listener and what in it could not be honoured.

    The operator's own hosts stand in it; for every other host Envoy asks by VHDS, if services are to be had.
    """
    hosts, problems = claimed_hosts(listener.routes, served)
    if listener.all_services:
        hosts = [_with_every_path(host) for host in hosts]
    message = RouteConfiguration(
        name=names.on_demand_routes(listener.name), virtual_hosts=hosts, ignore_port_in_host_matching=True
    )
    if listener.all_services:
        source = ConfigSource(initial_fetch_timeout=_FIRST_ANSWER)
        source.MergeFrom(ADS)
        message.vhds.CopyFrom(Vhds(config_source=source))
    return draft(TypeUrl.ROUTES, message.name, message, cluster_references(hosts)), problems


def http_listener(listener: Listener) -> Draft:
    """Give an on-demand listener; for a host that is unknown it answers as the catch-all does elsewhere."""
    replies = _NO_VIRTUAL_HOST if listener.all_services else None
    return listeners.http_listener(listener, names.on_demand_routes(listener.name), (_FILTER,), replies)


def virtual_hosts(listener: str, meaning: Meaning, domains: Iterable[str]) -> tuple[Draft, ...]:
    """Give the virtual hosts of a service, one for each domain, so that its name tells which one is meant."""
    routes = names.on_demand_routes(listener)
    clusters = {spec.name: spec.policy for spec in meaning.clusters}
    hosts = [
        virtual_host(names.virtual_host(routes, domain), (domain,), meaning.rules, clusters)
        for domain in domains
    ]
    return tuple(
        on_demand(draft(TypeUrl.VIRTUAL_HOST, host.name, host, cluster_references([host]))) for host in hosts
    )


def _with_every_path(host: VirtualHost) -> VirtualHost:
    if host.routes[-1].match.prefix != "/":
        host.routes.append(_NO_ROUTE)
    return host


def deferred_services(every: tuple[Listener, ...], services: Mapping[str, ServicePolicy]) -> frozenset[str]:
    """Name the services whose clusters a proxy gets only when it asks for them.

    None where no listener is on demand; otherwise all but those that another listener leads to, which has to
    have its clusters before the first request.
    """
    eager = [listener for listener in every if listener.discovery is Discovery.ALL]
    if len(eager) == len(every):
        return frozenset()
    led_to = {target.service for listener in eager for target in listener.targets}
    led_to |= {target.service for listener in eager for route in listener.routes for target in route.targets}
    if any(listener.all_services for listener in eager):
        led_to |= {name for name, policy in services.items() if policy.protocol is not Protocol.TCP}
    return frozenset(services) - led_to
