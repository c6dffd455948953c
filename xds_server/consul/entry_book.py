"""The answers about config entries put together, and the ConfigEntries of them; pure."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from xds_server.consul.chains import ChainAnswer
from xds_server.consul.entries import CHAINED, GLOBAL, Entry, Kind, KindAnswer, Said, source
from xds_server.consul.overrides import Calls, laid_over
from xds_server.consul.references import concerned
from xds_server.consul.text import shown
from xds_server.model.chain import Chain
from xds_server.model.entries import ConfigEntries, Gateway, IngressGateway, Override, TerminatingGateway
from xds_server.model.problem import Code, Problem

# Our proxies are one service to Consul, so what that service says of those it calls is what counts.
CALLER: Final = "xds-server"


class EntryBook:
    """What Consul has been believed so far; an unchanged part keeps its identity.

    A kind is settled once it was read, or given up on for now; a chain likewise.
    """

    def __init__(self) -> None:
        self._kinds: dict[Kind, KindAnswer] = {}
        self._given_up: dict[Kind, Problem] = {}
        self._chains: dict[str, Chain | None] = {}  # None for one that says nothing of its own
        self._chain_problems: dict[str, tuple[Problem, ...]] = {}
        self._defaults: tuple[Override, ...] = ()
        self._overrides: Mapping[str, tuple[Override, ...]] = {}
        self._base: ConfigEntries | None = None  # what the kinds say, without the chains
        self._value: ConfigEntries | None = None

    @property
    def unsettled(self) -> tuple[str, ...]:
        """What was neither read nor given up: kinds, and chains by `discovery chain <service>`."""
        kinds = [str(kind) for kind in Kind if kind not in self._kinds and kind not in self._given_up]
        return (*kinds, *(f"discovery chain {name}" for name in self.unread_chains))

    @property
    def unread_chains(self) -> tuple[str, ...]:
        """The services whose chain was neither read nor given up, sorted."""
        return tuple(sorted(self.chained - self._chains.keys() - self._chain_problems.keys()))

    @property
    def chained(self) -> frozenset[str]:
        """The services that have an entry of which Consul compiles a chain."""
        return frozenset(name for kind in CHAINED for name in self.entries(kind))

    def concerned(self, names: frozenset[str]) -> frozenset[str]:
        """Give the services whose chain a change of the entries of these names may change."""
        named: dict[str, set[str]] = {}
        for kind in CHAINED:
            for name, entry in self.entries(kind).items():
                named.setdefault(name, set()).update(entry.named)
        return concerned(named, names) & named.keys()

    def entries(self, kind: Kind) -> dict[str, Entry]:
        """Give the entries of a kind by name."""
        answer = self._kinds.get(kind)
        return answer.entries if answer else {}

    def chain(self, service: str) -> Chain | None:
        """Give the last good chain of a service; None where it has none of its own."""
        return self._chains.get(service)

    def was_read(self, kind: Kind) -> bool:
        """Tell whether there is a last good state of this kind."""
        return kind in self._kinds

    def believe(self, answer: KindAnswer, *, whole: bool = True) -> frozenset[str]:
        """Take over the entries of a kind; give the names that are new, changed or gone.

        An answer that is not believed as a `whole` leaves what was said of the kind by `give_up`.
        """
        old = self.entries(answer.kind)
        changed = {name for name, entry in answer.entries.items() if old.get(name) is not entry}
        names = frozenset(changed | (old.keys() - answer.entries.keys()))
        before = self._kinds.get(answer.kind)
        given_up = self._given_up.pop(answer.kind, None) if whole else None
        self._kinds[answer.kind] = answer
        if names or given_up or before is None or before.problems != answer.problems:
            self._base = self._value = None
        for name in self._chains.keys() - self.chained:
            self._forget(name)
        for name in self._chain_problems.keys() - self.chained:
            self._forget(name)
        return names

    def give_up(self, kind: Kind, why: str) -> None:
        """Tell of a kind that cannot be read now, with `why`, a sentence; its last good entries stay."""
        effect = (
            "its last good entries are kept" if kind in self._kinds else "it is left out until it can be read"
        )
        problem = Problem(code=Code.CONFIG_UNREADABLE, source=source(kind, ""), sentence=f"{effect}. {why}")
        if self._given_up.get(kind) != problem:
            self._given_up[kind] = problem
            self._base = self._value = None

    def believe_chain(self, service: str, answer: ChainAnswer) -> None:
        """Take over the chain of a service; a refused one leaves the last good one."""
        if service not in self.chained:
            return
        if not answer.refused and self.chain(service) != answer.chain:
            self._chains[service] = answer.chain
            self._value = None
        self._chains.setdefault(service, None)
        self._explain(service, answer.problems)

    def give_up_chain(self, service: str, why: str) -> None:
        """Tell of a chain that cannot be read now, with `why`, a sentence; the last good one stays."""
        if service not in self.chained:
            return
        effect = "the last good one is kept" if self.chain(service) else "the service goes on without"
        problem = Problem(
            code=Code.CONFIG_UNREADABLE,
            source=f"consul discovery chain {shown(service)}",
            sentence=f"{effect}. {why}",
        )
        self._explain(service, (problem,))

    def value(self) -> ConfigEntries:
        """Give what is known now; the same object while nothing changed."""
        if self._value is None:
            if self._base is None:
                self._base = self._of_kinds()
            chains = {name: chain for name, chain in sorted(self._chains.items()) if chain is not None}
            told = [problem for problems in self._chain_problems.values() for problem in problems]
            self._value = replace(
                self._base,
                chains=MappingProxyType(chains),
                problems=tuple(sorted([*self._base.problems, *told])),
            )
        return self._value

    def _of_kinds(self) -> ConfigEntries:
        defaults = laid_over(self._said(Kind.PROXY_DEFAULTS, GLOBAL).overrides, self._calls.all)
        self._defaults = self._defaults if self._defaults == defaults else defaults
        return ConfigEntries(
            defaults=self._defaults,
            overrides=self._all_overrides(),
            gateways=MappingProxyType(self._gateways()),
            problems=self._problems(),
        )

    @property
    def _calls(self) -> Calls:
        return self._said(Kind.SERVICE_DEFAULTS, CALLER).calls

    def _said(self, kind: Kind, name: str) -> Said:
        entry = self.entries(kind).get(name)
        return entry.value if entry and isinstance(entry.value, Said) else Said()

    def _all_overrides(self) -> Mapping[str, tuple[Override, ...]]:
        called = dict(self._calls.one)
        found = {}
        for name in sorted(self.entries(Kind.SERVICE_DEFAULTS).keys() | called.keys()):
            new = laid_over(self._said(Kind.SERVICE_DEFAULTS, name).overrides, called.get(name, ()))
            old = self._overrides.get(name)
            if new:
                found[name] = old if old == new else new
        self._overrides = MappingProxyType(found)
        return self._overrides

    def _gateways(self) -> dict[str, Gateway]:
        """Give the gateways by name; of two kinds with one name, the one that lets less in stays."""
        entries = [
            *self.entries(Kind.INGRESS_GATEWAY).values(),
            *self.entries(Kind.TERMINATING_GATEWAY).values(),
        ]
        values = {
            entry.name: entry.value
            for entry in entries
            if isinstance(entry.value, IngressGateway | TerminatingGateway)
        }
        return {name: values[name] for name in sorted(values)}

    def _problems(self) -> tuple[Problem, ...]:
        found = [problem for answer in self._kinds.values() for problem in answer.problems]
        for answer in self._kinds.values():
            found += [problem for entry in answer.entries.values() for problem in entry.problems]
        found += self._given_up.values()
        return tuple(found)

    def _explain(self, service: str, problems: tuple[Problem, ...]) -> None:
        if problems != self._chain_problems.get(service, ()):
            self._value = None
        if problems:
            self._chain_problems[service] = problems
        else:
            self._chain_problems.pop(service, None)

    def _forget(self, service: str) -> None:
        self._chains.pop(service, None)
        self._chain_problems.pop(service, None)
        self._value = None
