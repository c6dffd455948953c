"""How each service is reached, from everybody who has a say in it; and what its name means then."""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from xds_server.model.catalog import Catalog, Service, differing_instances
from xds_server.model.entries import Override
from xds_server.model.policy import Expose, Policy, Registrations, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.model.steps import Steps
from xds_server.translate import chains, meaning, words
from xds_server.translate.layers import layered
from xds_server.translate.meaning import NO_PARTS, Meaning, Parts
from xds_server.translate.memory import Memory
from xds_server.translate.places import Places
from xds_server.translate.words import Words

_NOTHING_STATED: Final[frozenset[str]] = frozenset()
_NO_OVERRIDES: Final[tuple[Override, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A service, how it is reached, what it says of itself, and what its name means if it has no chain."""

    service: Service
    policy: ServicePolicy
    words: Words
    parts: Parts
    meaning: Meaning

    def says_the_same(self, other: "Understood") -> bool:
        """Tell whether all but the instances is the very same."""
        return (
            self.policy is other.policy
            and self.words is other.words
            and self.parts is other.parts
            and self.service.departed == other.service.departed
        )

    def holds_for(self, service: Service, registrations: Registrations) -> bool:
        """Tell quickly whether other instances of the service change nothing but which these are.

        That is so where none said anything, and no new one does.
        """
        if self.words is not words.NOTHING or self.parts is not NO_PARTS:
            return False
        _, fresh = differing_instances(self.service.instances, service.instances)
        alone = Service(name=service.name, instances=tuple(fresh))
        return words.is_silent(alone, registrations.dialects) and not _ports(alone)

    def under(self, policy: ServicePolicy, memory: Memory) -> "Understood":
        """Give the same as it is reached under a policy of one group's own."""
        if policy is self.policy:
            return self
        name = self.service.name
        own = memory.recall(("meaning", name), meaning.plain, name, policy, self.parts)
        return replace(self, policy=policy, meaning=own)


def meanings(
    wanted: Iterable[str],
    served: Collection[str],
    every: Mapping[str, Understood],
    catalog: Catalog,
    policy: Policy,
    memory: Memory,
) -> Steps[tuple[Mapping[str, Meaning], tuple[Problem, ...]]]:
    """Give what the wanted names of the served services mean, and what could not be honoured."""
    found: dict[str, Meaning] = {}
    problems: list[Problem] = []
    places = memory.same(("places of chains",), Places(own=catalog.datacenter, others=policy.datacenters))
    for name in wanted:
        yield
        one = every[name]
        chain = catalog.entries.chains.get(name)
        if chain is None:
            found[name] = one.meaning
            continue
        names = {target.service for target in chain.targets.values()} | {name}
        reached = memory.same(
            ("reached", name), {other: _reached(other, served, every, catalog, policy) for other in names}
        )
        made, failed = memory.guarded(("meaning", name), chains.meaning_of, chain, reached, places)
        if made is not None:
            found[name] = made[0]
            problems.extend(made[1])
        if failed is not None:
            problems.append(failed)
    for name in _impostors(found, catalog.entries.chains.keys()):
        del found[name]
        sentence = "a discovery chain has a cluster of this name; register the service under another"
        problems.append(Problem(code=Code.SERVICE_NAME_CLASH, source=f'service "{name}"', sentence=sentence))
    return found, tuple(problems)


def _impostors(found: Mapping[str, Meaning], chained: AbstractSet[str]) -> list[str]:
    """Name the services without a chain whose own name is that of a chain's cluster."""
    taken = {spec.name for name in chained & found.keys() for spec in found[name].clusters}
    return sorted((taken & found.keys()) - chained)


def _reached(
    name: str, served: Collection[str], every: Mapping[str, Understood], catalog: Catalog, policy: Policy
) -> chains.Reached:
    stated = policy.stated.get(name, _NOTHING_STATED)
    if name not in every:
        said = (*catalog.entries.overrides.get(name, _NO_OVERRIDES), *catalog.entries.defaults)
        return chains.Reached(
            policy=layered(policy.service(name), stated, said),
            stated=stated,
            served=name not in catalog.services,
        )
    one = every[name]
    return chains.Reached(policy=one.policy, stated=stated, parts=one.parts, served=name in served)


def understand(
    service: Service,
    base: ServicePolicy,
    stated: frozenset[str],
    overrides: tuple[Override, ...],
    defaults: tuple[Override, ...],
    registrations: Registrations,
) -> Understood:
    """Understand a service: what is said of it elsewhere is laid under what its registrations say."""
    own = words.read(service, registrations.dialects)
    policy = layered(base, stated, (*overrides, *defaults, *own.overrides))
    parts = _parts(own, _ports(service))
    return Understood(
        service=service,
        policy=policy,
        words=own,
        parts=parts,
        meaning=meaning.plain(service.name, policy, parts),
    )


def _parts(own: Words, ports: tuple[str, ...]) -> Parts:
    if not (own.subsets or own.canary or ports):
        return NO_PARTS
    return Parts(subsets=own.subsets, canary=own.canary, ports=ports)


def _ports(service: Service) -> tuple[str, ...]:
    return tuple(sorted({name for instance in service.instances for name, _ in instance.ports}))


def is_exposed(own: Words, registrations: Registrations) -> bool:
    """Tell whether a service is to be served, by its own word or else by the operator's."""
    if own.enabled is not None:
        return own.enabled
    return registrations.expose is Expose.ALL
