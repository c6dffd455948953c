"""What gRPC clients without a proxy are served (gRFC A27): which services, under which names.

A service is there under the names it has for Envoy's clients too, and a host that a route of an HTTP listener
claims leads where that route says. The parts themselves are made in `proxyless_clusters`, `_endpoints`,
`_listeners` and `_routes`.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.model.catalog import Service
from xds_server.model.policy import Listener, ListenerKind, Protocol, Route, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec, Meaning
from xds_server.translate.packing import Draft
from xds_server.translate.places import Places
from xds_server.translate.proxyless_clusters import cluster
from xds_server.translate.proxyless_endpoints import assignment
from xds_server.translate.proxyless_listeners import client_listener, derived_listener
from xds_server.translate.proxyless_routes import host_routes, service_routes
from xds_server.translate.routes import Served

Part: TypeAlias = tuple[tuple[Draft, ...], tuple[Problem, ...]]
Services: TypeAlias = Mapping[str, ServicePolicy]
"""The services that gRPC clients can call, with their policies."""

Claims: TypeAlias = Mapping[str, tuple[Route, ...]]
"""The routes of each host that the operator claimed."""

DERIVED: Final = MappingProxyType({TypeUrl.LISTENER: derived_listener})
"""What makes the listeners whose names tell all there is to say."""

# gRPC is HTTP/2, so a service that speaks that may speak gRPC; what does not, cannot be called.
_SPOKEN: Final = frozenset({Protocol.GRPC, Protocol.HTTP2})


def callable_services(served: Mapping[str, ServicePolicy]) -> tuple[Services, tuple[Problem, ...]]:
    """Choose the services that gRPC clients can call, and say which of them cannot be served.

    gRPC takes the certificates of upstream TLS from files that its own bootstrap names, and refuses SDS (gRFC
    A29); which CA to trust would be the client's word and not the operator's, so such a service is left out.
    """
    spoken = {name: policy for name, policy in served.items() if policy.protocol in _SPOKEN}
    plain = {name: policy for name, policy in spoken.items() if policy.tls is None}
    return plain, tuple(_no_tls(name) for name in spoken if name not in plain)


def claims(listeners: Iterable[Listener]) -> Claims:
    """Give the hosts that routes of HTTP listeners claim; of two listeners with one host the first has it.

    A wildcard is no name that a gRPC client could ask for, so it is passed over.
    """
    found: dict[str, tuple[Route, ...]] = {}
    for listener in listeners:
        own: dict[str, tuple[Route, ...]] = {}
        for route in listener.routes if listener.kind is ListenerKind.HTTP else ():
            for host in route.hosts:
                if not host.startswith("*"):
                    own[host] = (*own.get(host, ()), route)
        found = {**own, **found}
    return MappingProxyType(found)


def domains(services: Services, datacenter: str, claimed: Claims) -> Mapping[str, tuple[str, ...]]:
    """Give the hosts that mean each service; of two with one domain the shorter name has it."""
    owners: dict[str, str] = {}
    for service in sorted(services, key=str.lower):
        for domain in names.domains(service, datacenter):
            owners.setdefault(domain, service)
    found: dict[str, list[str]] = {service: [] for service in services}
    for domain, service in owners.items():
        if domain not in claimed:
            found[service].append(domain)
    return {service: tuple(own) for service, own in found.items()}


def cluster_part(spec: ClusterSpec, rules: EndpointRules, places: Places, *picked: Service) -> Part:
    """Give a cluster and its endpoints, and why any of its instances was left out."""
    endpoints, problems = assignment(spec, picked, rules, places)
    return (cluster(spec), endpoints), problems


def service_hosts(meaning: Meaning, hosts: tuple[str, ...]) -> Part:
    """Give the listeners and routes of the hosts that mean one service, and what gRPC cannot do of them."""
    clusters = {spec.name: spec.policy for spec in meaning.clusters}
    drafts: list[Draft] = []
    problems: list[Problem] = []
    for host in hosts:
        made, found = service_routes(host, meaning.rules, clusters)
        drafts.extend((client_listener(host, host), made))
        problems.extend(found)
    return tuple(drafts), tuple(problems)


def claimed_hosts(claimed: Claims, served: Served) -> Part:
    """Give the listeners and routes of the hosts that the operator claimed, and what was left out."""
    drafts: list[Draft] = []
    problems: list[Problem] = []
    for host, routes in claimed.items():
        made, found = host_routes(host, routes, served)
        if made is not None:
            drafts.extend((client_listener(host, host), made))
            problems.extend(found)
    return tuple(drafts), tuple(problems)


def _no_tls(name: str) -> Problem:
    sentence = (
        "it is reached over TLS, whose certificates gRPC clients do not take from here; "
        "they are not served it"
    )
    return Problem(code=Code.GRPC_TLS, source=f'service "{name}"', sentence=sentence)
