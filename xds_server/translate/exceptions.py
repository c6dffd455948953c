"""Which services are not found by their name alone, and which names nothing must be found by.

Both are few and change seldom: what a listener is made of then does not change with every service.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from xds_server.model.policy import Discovery, Listener, ListenerKind, Protocol, ServicePolicy
from xds_server.model.route import ANY_REQUEST, AS_IT_IS, Branch
from xds_server.translate import by_name, names
from xds_server.translate.domains import service_domains
from xds_server.translate.meaning import Meaning
from xds_server.translate.routes import ANY_HOST, ByName, Served, claims
from xds_server.translate.rules import handled_alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptions:
    """Services that need a virtual host of their own, and clusters that no Host header may name.

    `common` is how all other services are reached.
    """

    common: ServicePolicy
    services: frozenset[str]
    refused: frozenset[str]

    def changed(self, plain: Iterable[str], departed: Iterable[str]) -> "Exceptions":
        """Give the same where of plain services those that have `departed` must not be found any more."""
        refused = (self.refused - frozenset(plain)) | frozenset(filter(by_name.nameable, departed))
        return self if refused == self.refused else replace(self, refused=refused)


def exceptions(
    view: Served, clusters: Iterable[str], static: Iterable[str], common: ServicePolicy
) -> Exceptions:
    """Find the exceptions among the services that routes may lead to.

    `clusters` are the names of all clusters of the client but those of its bootstrap, which are `static`.
    """
    plain = {
        service
        for service, meaning in view.services.items()
        if is_plain(service, meaning, view.datacenter, common)
    }.difference(static)
    spoken = {service for service, one in view.services.items() if one.policy.protocol is not Protocol.TCP}
    there = {*clusters, *static} - plain
    return Exceptions(
        common=common,
        services=frozenset(spoken - plain),
        refused=frozenset(filter(by_name.nameable, there)),
    )


def is_plain(service: str, meaning: Meaning, datacenter: str, common: ServicePolicy) -> bool:
    """Tell whether a service is reached like all others, and found by each of its domains."""
    policy = meaning.policy
    if policy.protocol is Protocol.TCP or len(meaning.rules) != 1:
        return False
    (rule,) = meaning.rules
    return (
        rule.branches == (Branch(cluster=service),)
        and rule.match == ANY_REQUEST
        and rule.treatment == AS_IT_IS
        and (policy is common or handled_alike(policy, common))
        and _is_found(service, datacenter)
    )


def _is_found(service: str, datacenter: str) -> bool:
    if service != service.lower() or not by_name.nameable(service):
        return False
    # Without a dot it cannot end like a domain of another service.
    return "." not in service or all(
        by_name.named(domain, datacenter) == service for domain in names.domains(service, datacenter)
    )


def seen(listener: Listener, view: Served, found: Exceptions | None) -> Served:
    """Give what a listener has to know of the services: as little as it can, so that it is the same for long.

    Without `found` no service may be found by its name, and one with all services has to know each of them.
    """
    named = {target.service for route in listener.routes for target in route.targets}
    named |= {target.service for target in listener.targets}
    if not _has_every_service(listener):
        return _only(view, named)
    if found is None or ANY_HOST in claims(listener):
        return view
    return _by_name(listener, view, found, named)


def _has_every_service(listener: Listener) -> bool:
    return (
        listener.all_services and listener.kind is ListenerKind.HTTP and listener.discovery is Discovery.ALL
    )


def _by_name(listener: Listener, view: Served, found: Exceptions, named: set[str]) -> Served:
    claimed = claims(listener)
    listed = found.services | _caught(view, claimed)
    domains = {domain for service in listed for domain in names.domains(service, view.datacenter)}
    # Who may own one of these domains instead.
    owners = {by_name.named(domain, view.datacenter) for domain in domains}
    small = _only(view, named | listed | owners)
    owned, _ = service_domains(small.services, view.datacenter)
    taken = {domain for service in listed for domain in owned[service]} | claimed
    refused = {
        domain
        for cluster in found.refused
        for domain in by_name.hosts_of(cluster, view.datacenter)
        if domain not in taken and not _matches(domain, claimed)
    }
    rest = ByName(common=found.common, listed=listed, refused=tuple(sorted(refused)))
    return replace(small, by_name=rest)


def _only(view: Served, services: set[str]) -> Served:
    there = {name: view.services[name] for name in sorted(services) if name in view.services}
    return Served.of(view.datacenter, there)


def _caught(view: Served, claimed: frozenset[str]) -> frozenset[str]:
    """Name the services of which a domain would meet a wildcard of the operator's before it is found."""
    wildcards = frozenset(host for host in claimed if "*" in host)
    if not wildcards:
        return frozenset()
    return frozenset(
        service
        for service, meaning in view.services.items()
        if meaning.policy.protocol is not Protocol.TCP
        and any(_matches(domain, wildcards) for domain in names.domains(service, view.datacenter))
    )


def _matches(domain: str, claimed: Iterable[str]) -> bool:
    """Tell whether a domain meets a wildcard: `*.example.com` or `example.*` (Envoy, VirtualHost.domains)."""
    return any(
        (host.startswith("*") and domain.endswith(host[1:].lower()))
        or (host.endswith("*") and domain.startswith(host[:-1].lower()))
        for host in claimed
        if host != ANY_HOST
    )
