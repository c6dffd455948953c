"""Everything at once: catalog, policy and secrets of one proxy group to all its resources.

The result depends on the inputs alone. What did not change is not made again: each part is remembered with
the very inputs it was made from, and handed out again while those are the same objects. The inputs of a part
are the only arguments of the function that makes it, so a remembered part cannot be stale.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from xds_server.model.catalog import Catalog, Service
from xds_server.model.policy import (
    Discovery,
    EndpointPolicy,
    Hostnames,
    Listener,
    Policy,
    ServicePolicy,
)
from xds_server.model.problem import Problem
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secrets
from xds_server.model.steps import Steps, finish
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.translate import gateways, on_demand, proxyless, routes, services, words
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.domains import service_domains
from xds_server.translate.meaning import ClusterSpec, Meaning
from xds_server.translate.memory import Key, Memory
from xds_server.translate.packing import Draft
from xds_server.translate.parts import (
    Part,
    cluster_part,
    endpoints_part,
    listener_part,
    resolved_part,
    secret_part,
    terminating_part,
    virtual_hosts_part,
)
from xds_server.translate.places import Places
from xds_server.translate.refusals import refused_listener, refused_service


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """All resources of a proxy group, by type, sorted by name, and all problems met on the way."""

    drafts: Mapping[TypeUrl, Table[Draft]]
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
        self._owners: Mapping[words.Place, str] = {}

    def translate(self, catalog: Catalog, policy: Policy, material: Secrets) -> Translation:
        """Give all resources for the group, all at once; `translating` tells the rest."""
        return finish(self.translating(catalog, policy, material))

    def translating(self, catalog: Catalog, policy: Policy, material: Secrets) -> Steps[Translation]:
        """Give all resources for the group in steps, of which nobody may take only some.

        A part that cannot be made is a problem, never an exception.
        """
        self._memory.begin()
        if not self._group.on_demand:
            policy = self._memory.recall(("policy",), _everything_at_once, policy)
        secret_parts = [
            self._part(("secret", name), secret_part, secret) for name, secret in material.by_name.items()
        ]
        available = frozenset(draft.name for drafts, _ in secret_parts for draft in drafts)
        every, failed = yield from services.understood(catalog, policy, self._memory)
        served, refused = _served(every, available)
        # Nothing leads to a service that has departed; only its clusters are still made.
        there = {name: own for name, own in served.items() if not every[name].service.departed}
        if self._group.client is Client.GRPC:
            return (yield from self._proxyless(catalog, policy, every, served))
        if self._group.gateway:
            gate = self._gate(catalog, policy, there)
            reached = {name: replace(every[name], policy=own) for name, own in gate.services.items()}
            every = {**every, **reached}
            listeners, claimed = gate.listeners, gate.problems
        else:
            gate = None
            listeners, claimed = self._asked(policy, {name: every[name].words for name in there})
        meanings, met = yield from services.meanings(served, every, catalog, policy, self._memory)
        if gate is not None:
            meanings = {name: meaning for name, meaning in meanings.items() if name in gate.services}
        deferred = on_demand.deferred_services(listeners, served)
        working, cluster_parts = yield from self._clusters(meanings, catalog, policy, deferred)
        problems = [
            problem for one in every.values() if not one.service.departed for problem in one.words.problems
        ]
        parts = [*secret_parts, ((), (*failed, *problems, *refused, *met, *claimed)), *cluster_parts]
        view = self._view(catalog, working)
        parts.extend((yield from self._listeners(listeners, view, available, gate)))
        yield
        self._memory.end()
        return _collect(parts, (*catalog.problems, *catalog.entries.problems, *material.problems))

    def _proxyless(
        self,
        catalog: Catalog,
        policy: Policy,
        every: Mapping[str, services.Understood],
        served: Mapping[str, ServicePolicy],
    ) -> Steps[Translation]:
        """Give the resources of gRPC clients. Each host stands alone: one that fails costs no other."""
        callable_, refused = proxyless.callable_services(served)
        called = self._memory.same(("services",), callable_)
        meanings, met = yield from services.meanings(called, every, catalog, policy, self._memory)
        working, cluster_parts = yield from self._clusters(meanings, catalog, policy, frozenset())
        view = self._view(catalog, working)
        datacenter = self._memory.same(("datacenter",), catalog.datacenter)
        claimed = self._memory.recall(("claims",), proxyless.claims, policy.listeners)
        there = self._memory.same(("there",), {name: called[name] for name in view.services})
        hosts = self._memory.recall(("domains",), proxyless.domains, there, datacenter, claimed)
        parts = [((), (*refused, *met)), *cluster_parts]
        parts.append(self._part(("claimed hosts",), proxyless.claimed_hosts, claimed, view))
        for name, meaning in view.services.items():
            own = self._memory.same(("domains", name), hosts[name])
            parts.append(self._part(("hosts", name), proxyless.service_hosts, meaning, own))
            yield
        self._memory.end()
        return replace(_collect(parts, catalog.problems), derived=proxyless.DERIVED)

    def _view(self, catalog: Catalog, working: Mapping[str, Meaning]) -> routes.Served:
        """Give what routes may lead to: what has its clusters, and has not departed."""
        found = catalog.services
        there = {name: one for name, one in working.items() if name not in found or not found[name].departed}
        return self._memory.same(("view",), routes.Served.of(catalog.datacenter, there))

    def _rules(self, policy: EndpointPolicy, listening: tuple[tuple[str, int], ...]) -> EndpointRules:
        port = self._group.admin_port
        policy = replace(policy, deny_ports=policy.deny_ports | ({port} if port else set()))
        return EndpointRules(policy, listening)

    def _listening(self, policy: Policy) -> tuple[tuple[str, int], ...]:
        """Give where the client itself listens; one without a proxy does not."""
        if self._group.client is Client.GRPC:
            return ()
        return tuple((one.address, one.port) for one in policy.listeners)

    def _gate(self, catalog: Catalog, policy: Policy, served: Mapping[str, ServicePolicy]) -> gateways.Open:
        name = self._group.gateway
        return gateways.opened(name, catalog.entries.gateways.get(name), served, policy, catalog.datacenter)

    def _asked(
        self, policy: Policy, said: Mapping[str, words.Words]
    ) -> tuple[tuple[Listener, ...], tuple[Problem, ...]]:
        """Give the listeners with the routes that services were granted, and why others were not."""
        wishes = {name: own.wishes for name, own in said.items() if own.wishes}
        wishes = self._memory.same(("wishes",), wishes)
        granted = self._memory.recall(("granted",), words.grant, wishes, policy.registrations, self._owners)
        self._owners = granted.owners
        listeners, unplaced = self._memory.recall(("placed",), words.placed, policy.listeners, granted)
        return listeners, (*granted.problems, *unplaced)

    def _clusters(
        self, meanings: Mapping[str, Meaning], catalog: Catalog, policy: Policy, deferred: frozenset[str]
    ) -> Steps[tuple[Mapping[str, Meaning], list[Part]]]:
        """Make the clusters of each service, and tell which services have all of theirs.

        One that never could be made whole is left out of all routes, or references to it would not close and
        cost every other service its listener. A cluster that several services lead to is made once.
        """
        listening = self._memory.same(("listening",), self._listening(policy))
        rules = self._memory.recall(("rules",), self._rules, policy.endpoints, listening)
        places = self._memory.same(
            ("places",), Places(own=catalog.datacenter, others=policy.datacenters, lost=catalog.lost)
        )
        eager = {spec.name for name in meanings.keys() - deferred for spec in meanings[name].clusters}
        made: dict[str, list[Part]] = {}
        working: dict[str, Meaning] = {}
        for name, meaning in meanings.items():
            for spec in meaning.clusters:
                if spec.name not in made:
                    picked = [self._picked(pick.service, catalog, policy) for pick in spec.picks]
                    made[spec.name] = self._cluster(spec, spec.name not in eager, rules, places, picked)
            own = [part for spec in meaning.clusters for part in made[spec.name]]
            if all(drafts for drafts, _ in own):
                working[name] = meaning
            yield
        needed = {spec.name for meaning in working.values() for spec in meaning.clusters}
        parts = [
            (drafts if cluster in needed else (), problems)
            for cluster, own in made.items()
            for drafts, problems in own
        ]
        return MappingProxyType(working), parts

    def _picked(self, service: str, catalog: Catalog, policy: Policy) -> Service:
        if service in catalog.services and service not in policy.hidden_services:
            return catalog.services[service]
        return self._memory.same(("absent", service), Service(name=service))

    def _cluster(
        self, spec: ClusterSpec, deferred: bool, rules: EndpointRules, places: Places, picked: list[Service]
    ) -> list[Part]:
        if self._group.client is Client.GRPC:
            key = ("gRPC cluster", spec.name)
            return [self._part(key, proxyless.cluster_part, spec, rules, places, *picked)]
        if spec.policy.hostnames is Hostnames.RESOLVE:
            key = ("resolved cluster", spec.name)
            return [self._part(key, resolved_part, spec, deferred, rules, places, *picked)]
        return [
            self._part(("cluster", spec.name), cluster_part, spec, deferred),
            self._part(("endpoints", spec.name), endpoints_part, spec, rules, places, *picked),
        ]

    def _listeners(
        self,
        listeners: tuple[Listener, ...],
        view: routes.Served,
        available: frozenset[str],
        gate: gateways.Open | None,
    ) -> Steps[list[Part]]:
        parts: list[Part] = []
        for listener in listeners:
            yield
            problem = refused_listener(listener, available)
            if problem is not None:
                parts.append(((), (problem,)))
                continue
            asked = self._memory.same(("asked", listener.name), listener)
            if gate is not None and gate.named:
                named = self._memory.same(("named", listener.name), gate.named)
                parts.append(self._part(("terminating", listener.name), terminating_part, asked, named, view))
                continue
            parts.append(self._part(("listener", listener.name), listener_part, asked, view))
            if listener.discovery is Discovery.ON_DEMAND and listener.all_services:
                parts.extend((yield from self._virtual_hosts(listener, view)))
        return parts

    def _virtual_hosts(self, listener: Listener, view: routes.Served) -> Steps[list[Part]]:
        """Give the virtual hosts of every service, each made anew only when it changes itself."""
        domains, problems = self._memory.recall(
            ("service domains",), service_domains, view.services, view.datacenter
        )
        parts: list[Part] = [((), problems)]
        claimed = routes.claims(listener)
        for service, own in domains.items():
            key = ("virtual hosts", listener.name, service)
            free = self._memory.same(
                ("domains", *key), tuple(domain for domain in own if domain not in claimed)
            )
            parts.append(self._part(key, virtual_hosts_part, listener.name, view.services[service], free))
            yield
        return parts

    def _part(self, key: Key, make: Callable[..., Part], *inputs: Any) -> Part:
        """Make one part, or hand out the remembered one; on a bug in it, keep the last that worked."""
        part, failed = self._memory.guarded(key, make, *inputs)
        if failed is None:
            return part or ((), ())
        return (part[0] if part else ()), (failed,)


def _served(
    every: Mapping[str, services.Understood], available: frozenset[str]
) -> tuple[Mapping[str, ServicePolicy], tuple[Problem, ...]]:
    """Decide which services get a cluster."""
    served: dict[str, ServicePolicy] = {}
    problems: list[Problem] = []
    # Of twins the last in order stays, the one in small letters, which no new one in capitals displaces.
    owners = {name.lower(): name for name in every}
    for name, one in every.items():
        problem = refused_service(name, owners[name.lower()], one.policy, available)
        if problem is None:
            served[name] = one.policy
        else:
            problems.append(problem)
    return served, tuple(problems)


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
    tables = {
        type_url: Table({draft.name: draft for draft in drafts}) for type_url, drafts in by_type.items()
    }
    return Translation(drafts=MappingProxyType(tables), problems=tuple(sorted(set(found))))
