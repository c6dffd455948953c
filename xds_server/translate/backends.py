"""The clusters of a proxy group with their endpoints, and the endpoints of some of them again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from xds_server.model.catalog import Catalog, Service
from xds_server.model.policy import EndpointPolicy, Hostnames, Policy
from xds_server.model.problem import Problem
from xds_server.model.proxy import Client, Group
from xds_server.model.steps import Steps
from xds_server.translate import proxyless
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.large import Large, is_large
from xds_server.translate.meaning import ClusterSpec, Meaning
from xds_server.translate.memory import Memory, Part
from xds_server.translate.packing import Draft
from xds_server.translate.parts import cluster_part, endpoints_part, large_part, resolved_part
from xds_server.translate.places import Places

_GROUPS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A cluster: what it is to be, whether it is told of on demand only, and the parts it was made as.

    Nothing served leads to one that is not `needed`.
    """

    spec: ClusterSpec
    deferred: bool
    parts: tuple[Part, ...]
    needed: bool = True

    @property
    def drafts(self) -> tuple[Draft, ...]:
        """Its resources, as far as they are needed."""
        return tuple(draft for drafts, _ in self.parts for draft in drafts) if self.needed else ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was met while they were made."""
        return tuple(problem for _, problems in self.parts for problem in problems)


class Backends:
    """Makes backends for one group, and remembers what they were made from."""

    def __init__(self, group: Group, memory: Memory) -> None:
        self._group = group
        self._memory = memory

    def made(
        self, meanings: Mapping[str, Meaning], deferred: Collection[str], catalog: Catalog, policy: Policy
    ) -> Steps[tuple[Mapping[str, Meaning], dict[str, Backend]]]:
        """Make the clusters of each service, and tell which services have all of theirs.

        One that never could be made whole is left out of all routes, or references to it would not close and
        cost every other service its listener. A cluster that several services lead to is made once.
        """
        around = self._around(catalog, policy)
        eager = {spec.name for name in meanings.keys() - deferred for spec in meanings[name].clusters}
        made: dict[str, Backend] = {}
        working: dict[str, Meaning] = {}
        for name, meaning in meanings.items():
            for spec in meaning.clusters:
                if spec.name not in made:
                    made[spec.name] = self._made(spec, spec.name not in eager, around)
            if all(drafts for spec in meaning.clusters for drafts, _ in made[spec.name].parts):
                working[name] = meaning
            yield
        needed = {spec.name for meaning in working.values() for spec in meaning.clusters}
        for name in made.keys() - needed:
            made[name] = replace(made[name], needed=False)
        return MappingProxyType(working), made

    def again(
        self, backends: Iterable[Backend], catalog: Catalog, policy: Policy
    ) -> Steps[dict[str, Backend]]:
        """Make these again where other instances are there."""
        around = self._around(catalog, policy)
        made: dict[str, Backend] = {}
        for one in backends:
            made[one.spec.name] = replace(self._made(one.spec, one.deferred, around), needed=one.needed)
            yield
        return made

    def _around(self, catalog: Catalog, policy: Policy) -> "_Around":
        listening = self._memory.same(("listening",), self._listening(policy))
        places = _places(catalog.datacenter, policy.datacenters, catalog.lost)
        return _Around(
            rules=self._memory.recall(("rules",), self._rules, policy.endpoints, listening),
            places=self._memory.same(("places",), places),
            catalog=catalog,
            hidden=policy.hidden_services,
        )

    def _rules(self, policy: EndpointPolicy, listening: tuple[tuple[str, int], ...]) -> EndpointRules:
        port = self._group.admin_port
        policy = replace(policy, deny_ports=policy.deny_ports | ({port} if port else set()))
        return _endpoint_rules(policy, listening)

    def _listening(self, policy: Policy) -> tuple[tuple[str, int], ...]:
        """Give where the client itself listens; one without a proxy does not."""
        if self._group.client is Client.GRPC:
            return ()
        return tuple((one.address, one.port) for one in policy.listeners)

    def _picked(self, service: str, around: "_Around") -> Service:
        found = None if service in around.hidden else around.catalog.services.get(service)
        return self._memory.same(("absent", service), Service(name=service)) if found is None else found

    def _made(self, spec: ClusterSpec, deferred: bool, around: "_Around") -> Backend:
        picked = [self._picked(pick.service, around) for pick in spec.picks]
        where = (around.rules, around.places)
        name = spec.name
        if self._group.client is Client.GRPC:
            parts = [self._memory.part(("gRPC cluster", name), proxyless.cluster_part, spec, *where, *picked)]
        elif spec.policy.hostnames is Hostnames.RESOLVE:
            key = ("resolved cluster", name)
            parts = [self._memory.part(key, resolved_part, spec, deferred, *where, *picked)]
        else:
            parts = [
                self._memory.part(("cluster", name), cluster_part, spec, deferred),
                self._endpoints(spec, where, picked),
            ]
        return Backend(spec=spec, deferred=deferred, parts=tuple(parts))

    def _endpoints(
        self, spec: ClusterSpec, where: tuple[EndpointRules, Places], picked: list[Service]
    ) -> Part:
        key = ("endpoints", spec.name)
        if not is_large(picked, where[1]):
            return self._memory.part(key, endpoints_part, spec, *where, *picked)
        large = self._memory.recall(("large endpoints", spec.name), Large, spec, *where)
        return self._memory.part(key, large_part, large, *picked)


# Groups that have the very same ones share what is made with them.


@lru_cache(maxsize=_GROUPS)
def _endpoint_rules(policy: EndpointPolicy, listening: tuple[tuple[str, int], ...]) -> EndpointRules:
    return EndpointRules(policy, listening)


@lru_cache(maxsize=_GROUPS)
def _places(own: str, others: tuple[str, ...], lost: frozenset[str]) -> Places:
    return Places(own=own, others=others, lost=lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What all clusters of a group are made with."""

    rules: EndpointRules
    places: Places
    catalog: Catalog
    hidden: frozenset[str]
