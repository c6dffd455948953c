"""The listener of a terminating gateway: the server name of a connection says which service is meant."""

from collections.abc import Mapping
from dataclasses import replace

from envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from xds_server.model.policy import Listener, ListenerKind, Protocol, WeightedService
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.listeners import http_chain, tcp_chain, with_chains
from xds_server.translate.packing import Draft, Reference, draft
from xds_server.translate.routes import ANY_HOST, Served, cluster_references, virtual_host


def listener(listener_: Listener, named: Mapping[str, tuple[str, ...]], served: Served) -> tuple[Draft, ...]:
    """Give the listener and the route configurations of its HTTP services.

    `named` has the server names of each service. A connection with another name, or none, matches no filter
    chain and is closed.
    """
    chains: list[FilterChain] = []
    needed: list[Reference] = []
    routes: list[Draft] = []
    for service, server_names in named.items():
        if service not in served.services:
            continue
        if served.services[service].policy.protocol is Protocol.TCP:
            chain, references = tcp_chain(listener_, (WeightedService(service=service),), served)
        else:
            made = _routes(listener_, service, served)
            routes.append(made)
            chain = http_chain(replace(listener_, kind=ListenerKind.HTTP), made.name)
            references = (Reference(TypeUrl.ROUTES, made.name),)
        chain.name = service
        chain.filter_chain_match.CopyFrom(FilterChainMatch(server_names=server_names))
        chains.append(chain)
        needed.extend(references)
    return (with_chains(listener_, tuple(chains), tuple(needed)), *routes) if chains else ()


def _routes(listener_: Listener, service: str, served: Served) -> Draft:
    host = virtual_host(service, (ANY_HOST,), served.services[service].rules, served.clusters)
    name = names.route_configuration(f"{listener_.name}:{service}")
    message = RouteConfiguration(name=name, virtual_hosts=[host])
    return draft(TypeUrl.ROUTES, name, message, cluster_references([host]))
