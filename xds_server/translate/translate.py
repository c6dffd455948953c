"""Everything at once: catalog, policy and secrets of one proxy group to all its resources.

The result depends on the inputs alone. What did not change is not made again: each part is remembered with
the very inputs it was made from, and handed out again while those are the same objects. The inputs of a part
are the only arguments of the function that makes it, so a remembered part cannot be stale.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from xds_server.model.catalog import Catalog, Service
from xds_server.model.policy import (
    Discovery,
    EndpointPolicy,
    Listener,
    ListenerKind,
    Policy,
    ServicePolicy,
)
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.translate import (
    clusters,
    endpoints,
    listeners,
    on_demand,
    packing,
    proxyless,
    routes,
    secrets,
)
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.domains import service_domains
from xds_server.translate.memory import Key, Memory
from xds_server.translate.packing import Draft
from xds_server.translate.refusals import refused_listener, refused_service

Part: TypeAlias = tuple[tuple[Draft, ...], tuple[Problem, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """All resources of a proxy group, by type, sorted by name, and all problems met on the way."""

    drafts: Mapping[TypeUrl, tuple[Draft, ...]]
    problems: tuple[Problem, ...]
    derived: Mapping[TypeUrl, Callable[[str], Draft | None]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """What makes resources for names that tell all there is to say; constant for each name."""


class Translator:
    """Translates for one proxy group, remembering what did not change since the last call."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._memory = Memory()

    def translate(self, catalog: Catalog, policy: Policy, material: Secrets) -> Translation:
        """Give all resources for the group; a part that cannot be made is a problem, never an exception."""
        self._memory.begin()
        if not self._group.on_demand:
            policy = self._memory.recall(("policy",), _everything_at_once, policy)
        secret_parts = [
            self._part(("secret", name), _secret_part, secret) for name, secret in material.by_name.items()
        ]
        available = frozenset(draft.name for drafts, _ in secret_parts for draft in drafts)
        served, refused = self._served(catalog, policy, available)
        rules = self._memory.recall(("rules",), self._rules, policy.endpoints)
        if self._group.client is Client.GRPC:
            return self._proxyless(catalog, policy, served, rules)
        deferred = on_demand.deferred_services(policy.listeners, served)
        working, service_parts = self._services(catalog, served, rules, deferred)
        parts = [*secret_parts, ((), refused), *service_parts]
        parts.extend(self._listeners(catalog.datacenter, working, policy, available))
        self._memory.end()
        return _collect(parts, (*catalog.problems, *material.problems))

    def _proxyless(
        self, catalog: Catalog, policy: Policy, served: Mapping[str, ServicePolicy], rules: EndpointRules
    ) -> Translation:
        """Give the resources of gRPC clients. Each host stands alone: one that fails costs no other."""
        called, refused = proxyless.callable_services(served)
        services = self._memory.same(("services",), called)
        datacenter = self._memory.same(("datacenter",), catalog.datacenter)
        claimed = self._memory.recall(("claims",), proxyless.claims, policy.listeners)
        hosts = self._memory.recall(("domains",), proxyless.domains, services, datacenter, claimed)
        parts = [((), refused), self._part(("claimed hosts",), proxyless.claimed_hosts, claimed, services)]
        for name, own in services.items():
            meaning = self._memory.same(("domains", name), hosts[name])
            parts.append(
                self._part(("service", name), proxyless.service_part, catalog.services[name], own, rules)
            )
            parts.append(self._part(("hosts", name), proxyless.service_hosts, name, own, meaning))
        self._memory.end()
        return replace(_collect(parts, catalog.problems), derived=proxyless.DERIVED)

    def _rules(self, policy: EndpointPolicy) -> EndpointRules:
        port = self._group.admin_port
        return EndpointRules(replace(policy, deny_ports=policy.deny_ports | ({port} if port else set())))

    def _served(
        self, catalog: Catalog, policy: Policy, available: frozenset[str]
    ) -> tuple[dict[str, ServicePolicy], tuple[Problem, ...]]:
        """Decide which services get a cluster."""
        served: dict[str, ServicePolicy] = {}
        problems: list[Problem] = []
        shown = [name for name in catalog.services if name not in policy.hidden_services]
        # Of twins the last in order stays, the one in small letters, which no new one in capitals displaces.
        owners = {name.lower(): name for name in shown}
        for name in shown:
            problem = refused_service(name, owners[name.lower()], policy.service(name), available)
            if problem is None:
                served[name] = policy.service(name)
            else:
                problems.append(problem)
        return served, tuple(problems)

    def _services(
        self,
        catalog: Catalog,
        served: Mapping[str, ServicePolicy],
        rules: EndpointRules,
        deferred: frozenset[str],
    ) -> tuple[Mapping[str, ServicePolicy], list[Part]]:
        """Make the parts of each service, and tell which services have all of theirs.

        One that never could be made whole is left out of all routes, or references to it would not close and
        cost every other service its listener.
        """
        working: dict[str, ServicePolicy] = {}
        parts: list[Part] = []
        for name, policy in served.items():
            pair = (
                self._part(("cluster", name), _cluster_part, name, policy, name in deferred),
                self._part(("endpoints", name), _endpoints_part, catalog.services[name], rules),
            )
            if all(drafts for drafts, _ in pair):
                working[name] = policy
                parts.extend(pair)
            else:
                parts.extend(((), problems) for _, problems in pair)
        return MappingProxyType(working), parts

    def _listeners(
        self,
        datacenter: str,
        served: Mapping[str, ServicePolicy],
        policy: Policy,
        available: frozenset[str],
    ) -> Iterator[Part]:
        view = self._memory.same(("view",), routes.Served(datacenter=datacenter, services=served))
        for listener in policy.listeners:
            problem = refused_listener(listener, available)
            if problem is not None:
                yield (), (problem,)
                continue
            yield self._part(("listener", listener.name), _listener_part, listener, view)
            if listener.discovery is Discovery.ON_DEMAND and listener.all_services:
                yield from self._virtual_hosts(listener, view)

    def _virtual_hosts(self, listener: Listener, view: routes.Served) -> Iterator[Part]:
        """Give the virtual hosts of every service, each made anew only when it changes itself."""
        domains, problems = self._memory.recall(
            ("service domains",), service_domains, view.services, view.datacenter
        )
        yield (), problems
        claimed = routes.claims(listener)
        for service, own in domains.items():
            key = ("virtual hosts", listener.name, service)
            free = self._memory.same(
                ("domains", *key), tuple(domain for domain in own if domain not in claimed)
            )
            policy = view.services[service]
            yield self._part(key, _virtual_hosts_part, listener.name, service, policy, free)

    def _part(self, key: Key, make: Callable[..., Part], *inputs: Any) -> Part:
        """Make one part, or hand out the remembered one; on a bug in it, keep the last that worked."""
        try:
            return self._memory.recall(key, make, *inputs)
        except Exception as error:  # noqa: BLE001 - the firewall: one part's bug must not cost the others
            last: Part = self._memory.last(key, ((), ()))
            sentence = f"translation failed ({type(error).__name__}); the last good resources are kept"
            problem = Problem(code=Code.TRANSLATION_FAILED, source=" ".join(key), sentence=sentence)
            return last[0], (problem,)


# --- parts: each a function of exactly the inputs it is remembered by ------------------------------------


def _secret_part(secret: Secret) -> Part:
    return tuple(secrets.secrets(secret)), ()


def _cluster_part(name: str, policy: ServicePolicy, deferred: bool) -> Part:
    made = clusters.cluster(name, policy)
    return (packing.on_demand(made) if deferred else made,), ()


def _endpoints_part(service: Service, rules: EndpointRules) -> Part:
    made, problems = endpoints.assignment(service, rules)
    return (made,), problems


def _virtual_hosts_part(listener: str, service: str, policy: ServicePolicy, domains: tuple[str, ...]) -> Part:
    return on_demand.virtual_hosts(listener, service, policy, domains), ()


def _listener_part(listener: Listener, served: routes.Served) -> Part:
    if listener.kind is ListenerKind.TCP:
        made, problems = listeners.tcp_listener(listener, served)
        return (made,) if made else (), problems
    if listener.discovery is Discovery.ON_DEMAND:
        route, problems = on_demand.route_configuration(listener, served)
        return (on_demand.http_listener(listener), route), problems
    route, problems = routes.route_configuration(listener, served)
    return (listeners.http_listener(listener, route.name), route), problems


def _everything_at_once(policy: Policy) -> Policy:
    """Give a policy without discovery on demand, for clients whose variant has no such thing (P-084)."""
    plain = tuple(replace(listener, discovery=Discovery.ALL) for listener in policy.listeners)
    return replace(policy, listeners=plain)


def _collect(parts: Iterable[Part], problems: Iterable[Problem]) -> Translation:
    by_type: dict[TypeUrl, list[Draft]] = {type_url: [] for type_url in TypeUrl}
    found = list(problems)
    for drafts, met in parts:
        for draft in drafts:
            by_type[draft.type].append(draft)
        found.extend(met)
    ordered = {
        type_url: tuple(sorted(drafts, key=lambda draft: draft.name)) for type_url, drafts in by_type.items()
    }
    return Translation(drafts=MappingProxyType(ordered), problems=tuple(sorted(set(found))))
