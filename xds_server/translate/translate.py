"""Everything at once: catalog, policy and secrets of one proxy group to all its resources.

The result depends on the inputs alone. What did not change is not made again: each part is remembered with
the very inputs it was made from, and handed out again while those are the same objects. The inputs of a part
are the only arguments of the function that makes it, so a remembered part cannot be stale. And where a few
services differ, nothing but those is looked at (`translate.last`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Final

from xds_server.model.catalog import Catalog
from xds_server.model.chain import Chain
from xds_server.model.policy import Discovery, Policy
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secrets
from xds_server.model.steps import Steps, finish
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.translate import gateways, on_demand, proxyless, routes, services
from xds_server.translate.backends import Backend, Backends
from xds_server.translate.entrances import Entrances, Inside
from xds_server.translate.last import Last, Made, Standpoint, Translation, Whole, sorted_problems
from xds_server.translate.meaning import Meaning
from xds_server.translate.memory import Memory, Part
from xds_server.translate.packing import Draft
from xds_server.translate.understanding import Known, Understanding

_NO_DRAFTS: Final = Table[Draft]()

_MOST_GONE: Final = 1_024
"""Services that may go before everything is looked at, and what is remembered of them is forgotten."""


class Translator:
    """Translates for one proxy group, remembering what did not change since the last call.

    `understanding` is shared by the translators of all groups.
    """

    def __init__(self, group: Group, understanding: Understanding | None = None) -> None:
        self._group = group
        self._understanding = understanding or Understanding()
        self._memory = Memory()
        self._backends = Backends(group, self._memory)
        self._entrances = Entrances(group, self._memory)
        self._policies: tuple[Policy, Policy] | None = None
        self._last: Last | None = None

    def translate(self, catalog: Catalog, policy: Policy, material: Secrets) -> Translation:
        """Give all resources for the group, all at once; `translating` tells the rest."""
        return finish(self.translating(catalog, policy, material))

    def translating(self, catalog: Catalog, policy: Policy, material: Secrets) -> Steps[Translation]:
        """Give all resources for the group in steps, of which nobody may take only some.

        A part that cannot be made is a problem, never an exception. Where only instances or plain services
        changed, only those are made again.
        """
        known = yield from self._understanding.known(catalog, policy, material)
        policy = self._own(policy)
        last, made = self._last, None
        if last is not None and last.differs_in_services_only(known, catalog, policy):
            step = known.step(last.known)
            make = self._with_instances if step.instances_only else self._with_services
            made = yield from make(last, step.names, known, catalog)
        if made is None:
            made = yield from self._everything(known, catalog, policy, material)
        self._last = made
        return made.translation

    def passes(self, known: Known, catalog: Catalog, policy: Policy) -> bool:
        """Tell whether a catalog, known as `known`, changes nothing that the group reads."""
        last = self._last
        if last is None or not last.differs_in_services_only(known, catalog, self._own(policy)):
            return False
        if last.matters(known, catalog):
            return False
        last.at = Standpoint(known, catalog)
        return True

    @property
    def reads(self) -> frozenset[str] | None:
        """The only services that matter to the group; None where any may, or nothing is translated yet."""
        last = self._last
        return None if last is None or last.failed else last.reads

    def stand(self, at: Standpoint) -> None:
        """Go on from here, as nothing that the group reads is another in this catalog.

        Whoever shares the standpoint may move it, as long as that stays true.
        """
        if self._last is not None:
            self._last.at = at

    def _own(self, policy: Policy) -> Policy:
        """Give the policy as it is for the group; the same object for the same one."""
        if self._group.on_demand:
            return policy
        if self._policies is None or self._policies[0] is not policy:
            self._policies = policy, _everything_at_once(policy)
        return self._policies[1]

    def _with_instances(
        self, last: Last, names: Iterable[str], known: Known, catalog: Catalog
    ) -> Steps[Last | None]:
        """Make the endpoints again that are instances of these services; None where that is not enough."""
        due = {one.spec.name: one for name in sorted(names) for one in last.of(name)}
        again = yield from self._backends.again(due.values(), catalog, last.policy)
        if any(_names(one) != _names(due[cluster]) for cluster, one in again.items()):
            return None
        last.take(again.values())
        return last.followed(known, catalog, made=_drafts(again.values()))

    def _with_services(
        self, last: Last, names: Iterable[str], known: Known, catalog: Catalog
    ) -> Steps[Last | None]:
        """Make single services again, with the listeners that know them; None where they are not plain.

        A plain one has one cluster, of its own name, and asks for nothing else; most services are plain.
        """
        whole = last.whole
        if whole is None or not whole.inside.is_at_once or whole.gone > _MOST_GONE:
            return None
        if not all(last.is_plain(name, known) for name in names):
            return None
        wanted = [name for name in sorted(names) if name in known.served]
        meanings, _ = yield from services.meanings(
            wanted, known.served, known.every, catalog, last.policy, self._memory
        )
        if not all(whole.inside.takes(name, one) for name, one in meanings.items()):
            return None
        working, backends = yield from self._backends.made(meanings, (), catalog, last.policy)
        inside = whole.inside.changed(
            {name: working.get(name) for name in names}, {name for name in names if known.is_departed(name)}
        )
        entrances = yield from self._entrances.parts(inside)
        gone = [*_drafts(one for name in names for one in last.of(name)), *_of_parts(whole.entrances)]
        made = [*_drafts(backends.values()), *_of_parts(entrances)]
        for name in names:
            last.forget(name)
        last.take(backends.values())
        lost = sum(name not in known.every for name in names)
        last.whole = replace(whole, inside=inside, entrances=entrances, gone=whole.gone + lost)
        last.others = last.whole.others(known)
        return last.followed(known, catalog, made=made, gone=gone)

    def _everything(self, known: Known, catalog: Catalog, policy: Policy, material: Secrets) -> Steps[Last]:
        """Translate everything; what did not change is remembered part by part."""
        self._memory.begin()
        make = self._for_grpc if self._group.client is Client.GRPC else self._for_envoy
        made = yield from make(known, catalog, policy, material)
        yield
        self._memory.end()
        translation = Translation(
            drafts=self._tables(chain(_drafts(made.backends.values()), _of_parts(made.parts))),
            problems=sorted_problems(
                catalog.problems, made.others, *(one.problems for one in made.backends.values())
            ),
            derived=proxyless.DERIVED if self._group.client is Client.GRPC else {},
        )
        return Last(
            at=Standpoint(known, catalog),
            policy=policy,
            backends=made.backends,
            others=made.others,
            reads=self._reads(catalog),
            whole=made.whole,
            translation=translation,
        )

    def _reads(self, catalog: Catalog) -> frozenset[str] | None:
        """Name the only services that matter: those that a gateway names, and those their chains lead to."""
        gateway = catalog.entries.gateways.get(self._group.gateway) if self._group.gateway else None
        named = None if gateway is None else gateways.named_services(gateway)
        if named is None:
            return None
        chains = (catalog.entries.chains.get(name) for name in named)
        led_to = (target.service for one in chains if one is not None for target in one.targets.values())
        return named | frozenset(led_to)

    def _tables(self, made: Iterable[Draft]) -> Mapping[TypeUrl, Table[Draft]]:
        """Give drafts by type and name, as a change of those before."""
        by_type: dict[TypeUrl, dict[str, Draft]] = {type_url: {} for type_url in TypeUrl}
        for draft in made:
            by_type[draft.type][draft.name] = draft
        before = {} if self._last is None else self._last.translation.drafts
        return MappingProxyType(
            {one: before.get(one, _NO_DRAFTS).becoming(drafts) for one, drafts in by_type.items()}
        )

    def _for_envoy(self, known: Known, catalog: Catalog, policy: Policy, material: Secrets) -> Steps[Made]:
        if (reads := self._reads(catalog)) is not None:
            known = known.of(reads)
        every: Mapping[str, services.Understood] = known.every
        # Nothing leads to a service that has departed; only its clusters are still made.
        there = {name: own for name, own in known.served.items() if not every[name].service.departed}
        wanted: Collection[str] = known.served
        if self._group.gateway:
            gate = self._entrances.gate(catalog, policy, there)
            wanted = gate.services
            own = {name: self._memory.same(("policy", name), one) for name, one in gate.services.items()}
            every = {**every, **{name: every[name].under(one, self._memory) for name, one in own.items()}}
            listeners, claimed = gate.listeners, gate.problems
        else:
            gate = None
            listeners, claimed = self._entrances.asked(policy, {name: every[name].words for name in there})
        meanings, met = yield from services.meanings(
            wanted, known.served, every, catalog, policy, self._memory
        )
        deferred = on_demand.deferred_services(listeners, known.served)
        working, backends = yield from self._backends.made(meanings, deferred, catalog, policy)
        view = self._view(catalog, working)
        inside = Inside(
            listeners=listeners,
            view=view,
            found=self._entrances.exceptions(catalog, policy, view, working),
            available=known.available,
            gate=gate,
        )
        # What is not of a gateway alone is told with the group of everyone.
        common = () if gate else (*catalog.entries.problems, *material.problems)
        whole = Whole(
            inside=inside,
            entrances=(yield from self._entrances.parts(inside)),
            chained=_chained(catalog.entries.chains),
            base=(*met, *claimed, *common),
        )
        return Made(backends, [*known.secrets, *whole.entrances], whole.others(known), whole)

    def _for_grpc(self, known: Known, catalog: Catalog, policy: Policy, _: Secrets) -> Steps[Made]:
        """Give the resources of gRPC clients. Each host stands alone: one that fails costs no other."""
        callable_, refused = proxyless.callable_services(known.served)
        called = self._memory.same(("services",), callable_)
        meanings, met = yield from services.meanings(
            called, called, known.every, catalog, policy, self._memory
        )
        working, backends = yield from self._backends.made(meanings, (), catalog, policy)
        view = self._view(catalog, working)
        datacenter = self._memory.same(("datacenter",), catalog.datacenter)
        claimed = self._memory.recall(("claims",), proxyless.claims, policy.listeners)
        there = self._memory.same(("there",), {name: called[name] for name in view.services})
        hosts = self._memory.recall(("domains",), proxyless.domains, there, datacenter, claimed)
        parts = [self._memory.part(("claimed hosts",), proxyless.claimed_hosts, claimed, view)]
        for name, meaning in view.services.items():
            own = self._memory.same(("domains", name), hosts[name])
            parts.append(self._memory.part(("hosts", name), proxyless.service_hosts, meaning, own))
            yield
        told = (problem for _, problems in parts for problem in problems)
        return Made(backends, parts, (*refused, *met, *told), None)

    def _view(self, catalog: Catalog, working: Mapping[str, Meaning]) -> routes.Served:
        """Give what routes may lead to: what has its clusters, and has not departed."""
        found = catalog.services
        there = {name: one for name, one in working.items() if name not in found or not found[name].departed}
        return self._memory.same(("view",), routes.Served.of(catalog.datacenter, there))


def _names(backend: Backend) -> list[tuple[TypeUrl, str]]:
    return [(draft.type, draft.name) for draft in backend.drafts]


def _drafts(backends: Iterable[Backend]) -> Iterator[Draft]:
    return (draft for one in backends for draft in one.drafts)


def _of_parts(parts: Iterable[Part]) -> Iterator[Draft]:
    return (draft for drafts, _ in parts for draft in drafts)


def _chained(chains: Mapping[str, Chain]) -> frozenset[str]:
    """Name the services that discovery chains are of, or lead to."""
    led_to = (target.service for one in chains.values() for target in one.targets.values())
    return frozenset(chain(chains, led_to))


def _everything_at_once(policy: Policy) -> Policy:
    """Give a policy without discovery on demand, for clients whose variant has no such thing (P-084)."""
    plain = tuple(replace(listener, discovery=Discovery.ALL) for listener in policy.listeners)
    return replace(policy, listeners=plain)
