"""The listeners of an Envoy with their routes, and what those have to know of the services behind them."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from xds_server.model.catalog import Catalog
from xds_server.model.entries import Override
from xds_server.model.policy import Discovery, Listener, Policy, ServicePolicy
from xds_server.model.problem import Problem
from xds_server.model.proxy import Group
from xds_server.model.steps import Steps
from xds_server.translate import exceptions, gateways, routes, words
from xds_server.translate.domains import service_domains
from xds_server.translate.layers import layered
from xds_server.translate.meaning import Meaning
from xds_server.translate.memory import Memory, Part
from xds_server.translate.parts import listener_part, terminating_part, virtual_hosts_part
from xds_server.translate.refusals import refused_listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What listeners are made from.

    `view` is what routes may lead to, `found` what of it is not found by its name, None where nothing may be.
    `available` are the secrets that could be read, `gate` the gateway that asked for the listeners, if any.
    """

    listeners: tuple[Listener, ...]
    view: routes.Served
    found: exceptions.Exceptions | None
    available: frozenset[str]
    gate: gateways.Open | None

    def takes(self, service: str, meaning: Meaning) -> bool:
        """Tell whether a service may come or go without anything else being looked at."""
        if len(meaning.clusters) != 1:
            return False
        dc, found = self.view.datacenter, self.found
        return found is None or exceptions.is_plain(service, meaning, dc, found.common)

    def changed(self, plain: Mapping[str, Meaning | None], departed: AbstractSet[str]) -> "Inside":
        """Give the same with other meanings of plain services, None for one that has no cluster.

        Of those that have `departed` only the clusters are there.
        """
        left = [name for name, meaning in plain.items() if name in departed and meaning is not None]
        there = {name: None if name in departed else meaning for name, meaning in plain.items()}
        found = None if self.found is None else self.found.changed(plain, left)
        return replace(self, view=self.view.changed(there), found=found)

    @property
    def is_at_once(self) -> bool:
        """Whether all services are told of from the start, on listeners that are not a gateway's."""
        return self.gate is None and all(one.discovery is Discovery.ALL for one in self.listeners)


class Entrances:
    """Makes the listeners of one group, and remembers what they were made from."""

    def __init__(self, group: Group, memory: Memory) -> None:
        self._group = group
        self._memory = memory
        self._owners: Mapping[words.Place, str] = {}

    def gate(self, catalog: Catalog, policy: Policy, served: Mapping[str, ServicePolicy]) -> gateways.Open:
        """Give what the gateway opens that the group is of."""
        name = self._group.gateway
        return gateways.opened(name, catalog.entries.gateways.get(name), served, policy, catalog.datacenter)

    def asked(
        self, policy: Policy, said: Mapping[str, words.Words]
    ) -> tuple[tuple[Listener, ...], tuple[Problem, ...]]:
        """Give the listeners with the routes that services were granted, and why others were not."""
        wishes = {name: own.wishes for name, own in said.items() if own.wishes}
        wishes = self._memory.same(("wishes",), wishes)
        granted = self._memory.recall(("granted",), words.grant, wishes, policy.registrations, self._owners)
        self._owners = granted.owners
        listeners, unplaced = self._memory.recall(("placed",), words.placed, policy.listeners, granted)
        return listeners, (*granted.problems, *unplaced)

    def exceptions(
        self, catalog: Catalog, policy: Policy, view: routes.Served, working: Mapping[str, Meaning]
    ) -> exceptions.Exceptions | None:
        """Give what is not found by its name; None where the client's own clusters could be."""
        if self._group.static_clusters is None:
            return None
        defaults = self._memory.same(("overrides",), catalog.entries.defaults)
        common = self._memory.recall(("common",), _common, policy.defaults, defaults)
        clusters = {spec.name for meaning in working.values() for spec in meaning.clusters}
        found = exceptions.exceptions(view, clusters, self._group.static_clusters, common)
        return self._memory.same(("exceptions",), found)

    def parts(self, inside: Inside) -> Steps[list[Part]]:
        """Give each listener with its routes."""
        parts: list[Part] = []
        for listener in inside.listeners:
            yield
            problem = refused_listener(listener, inside.available)
            if problem is not None:
                parts.append(((), (problem,)))
                continue
            parts.append(self._part(listener, inside))
            if listener.discovery is Discovery.ON_DEMAND and listener.all_services:
                parts.extend((yield from self._virtual_hosts(listener, inside.view)))
        return parts

    def _part(self, listener: Listener, inside: Inside) -> Part:
        name = listener.name
        asked = self._memory.same(("asked", name), listener)
        if inside.gate is not None and inside.gate.named:
            named = self._memory.same(("named", name), inside.gate.named)
            return self._memory.part(("terminating", name), terminating_part, asked, named, inside.view)
        seen = self._memory.recall(("sight", name), exceptions.seen, asked, inside.view, inside.found)
        seen = self._memory.same(("seen", name), seen)
        return self._memory.part(("listener", name), listener_part, asked, seen)

    def _virtual_hosts(self, listener: Listener, view: routes.Served) -> Steps[list[Part]]:
        """Give the virtual hosts of every service, each made anew only when it changes itself."""
        domains, problems = self._memory.recall(
            ("service domains",), service_domains, view.services, view.datacenter
        )
        parts: list[Part] = [((), problems)]
        claimed = routes.claims(listener)
        for service, own in domains.items():
            key = ("virtual hosts", listener.name, service)
            free = tuple(domain for domain in own if domain not in claimed)
            free = self._memory.same(("domains", *key), free)
            meaning = view.services[service]
            parts.append(self._memory.part(key, virtual_hosts_part, listener.name, meaning, free))
            yield
        return parts


def _common(defaults: ServicePolicy, overrides: tuple[Override, ...]) -> ServicePolicy:
    """Give how a service is reached of which nobody says anything."""
    return layered(defaults, frozenset(), overrides)
