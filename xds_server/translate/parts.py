"""The parts a translation is remembered by: each is a function of exactly the inputs given to it."""

from collections.abc import Mapping

from xds_server.model.catalog import Service
from xds_server.model.policy import Discovery, Listener, ListenerKind
from xds_server.model.secret import Secret
from xds_server.model.types import TypeUrl
from xds_server.translate import (
    clusters,
    endpoints,
    listeners,
    on_demand,
    packing,
    resolved,
    routes,
    secrets,
    terminating,
)
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.large import Large
from xds_server.translate.meaning import ClusterSpec, Meaning
from xds_server.translate.memory import Part, once
from xds_server.translate.places import Places


def secret_part(secret: Secret) -> Part:
    """Give the resources of one secret."""
    return tuple(secrets.secrets(secret)), ()


@once
def cluster_part(spec: ClusterSpec, deferred: bool) -> Part:
    """Give a cluster; a `deferred` one goes only to clients that name it."""
    made = clusters.cluster(spec)
    return (packing.on_demand(made) if deferred else made,), ()


@once
def endpoints_part(spec: ClusterSpec, rules: EndpointRules, places: Places, *picked: Service) -> Part:
    """Give the endpoints of a cluster from the services of its picks."""
    made, problems = endpoints.assignment(spec, picked, rules, places)
    return (made,), problems


def large_part(large: Large, picked: Service) -> Part:
    """Give the endpoints of a large cluster, made from those it had before."""
    made, problems = large.assignment(picked)
    return (made,), problems


def resolved_part(
    spec: ClusterSpec, deferred: bool, rules: EndpointRules, places: Places, *picked: Service
) -> Part:
    """Give a cluster together with its endpoints, which it may hold itself."""
    made, problems = resolved.cluster(spec, picked, rules, places)
    return tuple(
        packing.on_demand(one) if deferred and one.type is TypeUrl.CLUSTER else one for one in made
    ), problems


def virtual_hosts_part(listener: str, meaning: Meaning, domains: tuple[str, ...]) -> Part:
    """Give the virtual hosts of a service on an on-demand listener."""
    return on_demand.virtual_hosts(listener, meaning, domains), ()


def listener_part(listener: Listener, served: routes.Served) -> Part:
    """Give a listener and its route configuration."""
    if listener.kind is ListenerKind.TCP:
        made, problems = listeners.tcp_listener(listener, served)
        return (made,) if made else (), problems
    if listener.discovery is Discovery.ON_DEMAND:
        route, problems = on_demand.route_configuration(listener, served)
        return (on_demand.http_listener(listener), route), problems
    route, problems = routes.route_configuration(listener, served)
    replies = None if served.by_name is None else listeners.NO_CLUSTER
    return (listeners.http_listener(listener, route.name, (), replies), route), problems


def terminating_part(listener: Listener, named: Mapping[str, tuple[str, ...]], served: routes.Served) -> Part:
    """Give the listener of a terminating gateway and its route configurations."""
    return terminating.listener(listener, named, served), ()
