"""How each service is reached, from everybody who has a say in it; and what its name means then."""

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from xds_server.model.catalog import Catalog, Service
from xds_server.model.entries import Override
from xds_server.model.policy import Expose, Policy, Registrations, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.model.steps import Steps
from xds_server.translate import chains, meaning, words
from xds_server.translate.layers import layered
from xds_server.translate.meaning import Meaning, Parts
from xds_server.translate.memory import Memory
from xds_server.translate.places import Places
from xds_server.translate.words import Words

_NOTHING_STATED: Final[frozenset[str]] = frozenset()
_NO_OVERRIDES: Final[tuple[Override, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A service, how it is reached, and what it says of itself."""

    service: Service
    policy: ServicePolicy
    words: Words
    parts: Parts


def understood(
    catalog: Catalog, policy: Policy, memory: Memory
) -> Steps[tuple[Mapping[str, Understood], tuple[Problem, ...]]]:
    """Understand every service that is to be served, in sorted order; a bug in one costs that one alone."""
    entries = catalog.entries
    found: dict[str, Understood] = {}
    failed: list[Problem] = []
    for name in _names(catalog):
        yield
        if name in policy.hidden_services:
            continue
        service = catalog.services.get(name) or memory.same(("absent", name), Service(name=name))
        one, problem = memory.guarded(
            ("understood", name),
            _understand,
            service,
            policy.service(name),
            policy.stated.get(name, _NOTHING_STATED),
            entries.overrides.get(name, _NO_OVERRIDES),
            entries.defaults,
            policy.registrations,
        )
        if problem is not None:
            failed.append(problem)
        if one is not None and _is_exposed(one.words, policy.registrations):
            found[name] = one
    return found, tuple(failed)


def meanings(
    served: Collection[str], every: Mapping[str, Understood], catalog: Catalog, policy: Policy, memory: Memory
) -> Steps[tuple[Mapping[str, Meaning], tuple[Problem, ...]]]:
    """Give what the names of the served services mean, and what could not be honoured."""
    found: dict[str, Meaning] = {}
    problems: list[Problem] = []
    places = memory.same(("places of chains",), Places(own=catalog.datacenter, others=policy.datacenters))
    for name in served:
        yield
        own = memory.same(("policy", name), every[name].policy)
        chain = catalog.entries.chains.get(name)
        if chain is None:
            parts = memory.same(("parts", name), every[name].parts)
            found[name] = memory.recall(("meaning", name), meaning.plain, name, own, parts)
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


def _names(catalog: Catalog) -> Iterator[str]:
    """Give the names of all services; one that has a chain need not have instances."""
    virtual = catalog.entries.chains.keys() - catalog.services.keys()
    return iter(sorted(catalog.services.keys() | virtual) if virtual else catalog.services)


def _understand(
    service: Service,
    base: ServicePolicy,
    stated: frozenset[str],
    overrides: tuple[Override, ...],
    defaults: tuple[Override, ...],
    registrations: Registrations,
) -> Understood:
    own = words.read(service, registrations.dialects)
    return Understood(
        service=service,
        policy=layered(base, stated, (*overrides, *defaults, *own.overrides)),
        words=own,
        parts=Parts(subsets=own.subsets, canary=own.canary, ports=_ports(service)),
    )


def _ports(service: Service) -> tuple[str, ...]:
    return tuple(sorted({name for instance in service.instances for name, _ in instance.ports}))


def _is_exposed(own: Words, registrations: Registrations) -> bool:
    if own.enabled is not None:
        return own.enabled
    return registrations.expose is Expose.ALL
