"""What is the same for every proxy group: the services as they are understood, and the secrets as resources.

It is made once for all groups, and again only for what changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from xds_server.model.catalog import Catalog, Service
from xds_server.model.entries import Override
from xds_server.model.policy import Policy, ServicePolicy
from xds_server.model.problem import Problem
from xds_server.model.secret import Secrets
from xds_server.model.steps import Steps
from xds_server.model.table import Table, differing
from xds_server.translate.memory import Memory, Part
from xds_server.translate.parts import secret_part
from xds_server.translate.refusals import refused_service
from xds_server.translate.services import Understood, is_exposed, understand

T = TypeVar("T")

_NOTHING_STATED: Final[frozenset[str]] = frozenset()
_NO_OVERRIDES: Final[tuple[Override, ...]] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What differs between two catalogs as they are known: the services, and whether by instances only."""

    names: frozenset[str]
    instances_only: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Known:
    """What is known of a catalog whichever group asks.

    `every` are the services that are exposed, `served` how those are reached that get a cluster. `met` are
    the problems of each service that has any. `secrets` are the parts of the `material`, and `available` the
    names of those that could be read.
    """

    every: Table[Understood]
    served: Table[ServicePolicy]
    met: Table[tuple[Problem, ...]]
    material: Secrets
    secrets: tuple[Part, ...]
    available: frozenset[str]
    _steps: "WeakKeyDictionary[Known, Step]" = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    @property
    def problems(self) -> Iterable[Problem]:
        """All problems of services."""
        return (problem for problems in self.met.values() for problem in problems)

    def of(self, services: Iterable[str]) -> "Known":
        """Give what is known of these services alone."""
        names = [name for name in services if name in self.every]
        return replace(
            self,
            every=Table({name: self.every[name] for name in names}),
            served=Table({name: self.served[name] for name in names if name in self.served}),
            met=Table({name: self.met[name] for name in names if name in self.met}),
        )

    def is_departed(self, name: str) -> bool:
        """Tell whether only the past of a service is known."""
        one = self.every.get(name)
        return one is not None and one.service.departed

    def step(self, before: "Known") -> Step:
        """Tell what differs from what was known before; found once for all groups that go on from there."""
        found = self._steps.get(before)
        if found is None:
            found = self._steps[before] = self._step(before)
        return found

    def _step(self, before: "Known") -> Step:
        names = differing(before.every, self.every)
        for name in names:
            old, new = before.every.get(name), self.every.get(name)
            if old is None or new is None or not old.says_the_same(new):
                break
        else:
            others = differing(before.served, self.served) | differing(before.met, self.met)
            if not others:
                return Step(names, instances_only=True)
        return Step(names | differing(before.served, self.served), instances_only=False)


_NOTHING: Final = Known(
    every=Table(), served=Table(), met=Table(), material=Secrets(), secrets=(), available=frozenset()
)


class Understanding:
    """Understands each catalog, going on from what was understood of the one before."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._inputs: tuple[Catalog, Policy, Secrets] | None = None
        self._known = _NOTHING
        self._is_new = True
        """Whether everything is understood anew, as what others say of the services may have changed."""
        self._failed = frozenset[str]()
        """The services that a bug keeps from being understood; they are tried again each time."""
        self._capitals: dict[str, frozenset[str]] = {}
        """The services with capital letters by their name in small ones: Consul takes them for one."""

    def known(self, catalog: Catalog, policy: Policy, material: Secrets) -> Steps[Known]:
        """Give what is known of a catalog, in steps; the same object while nothing changed."""
        inputs, before = (catalog, policy, material), self._inputs
        if before is None or (before[0].entries, *before[1:]) != (catalog.entries, policy, material):
            yield from self._from_the_start(*inputs)
        elif changed := differing(before[0].services, catalog.services) | self._failed:
            yield from self._go_on(changed, inputs, self._known.secrets)
        self._inputs = inputs
        return self._known

    def _from_the_start(self, catalog: Catalog, policy: Policy, material: Secrets) -> Steps[None]:
        self._is_new = True
        self._memory.begin()
        secrets = tuple(
            self._memory.part(("secret", name), secret_part, secret)
            for name, secret in material.by_name.items()
        )
        names = catalog.services.keys() | catalog.entries.chains.keys() | self._known.every.keys()
        yield from self._go_on(names, (catalog, policy, material), secrets)
        self._memory.end()
        self._is_new = False

    def _go_on(
        self, names: AbstractSet[str], inputs: tuple[Catalog, Policy, Secrets], secrets: tuple[Part, ...]
    ) -> Steps[None]:
        """Understand these services anew; a bug in one costs that one alone."""
        catalog, policy, material = inputs
        understood: dict[str, Understood | None] = {}
        failed: dict[str, Problem] = {}
        for name in sorted(names):
            understood[name], problem = self._understood(name, catalog, policy)
            if problem is not None:
                failed[name] = problem
            yield
        every = self._known.every.changed(understood)
        available = frozenset(draft.name for drafts, _ in secrets for draft in drafts)
        served: dict[str, ServicePolicy | None] = {}
        met: dict[str, tuple[Problem, ...] | None] = {}
        for name, twins in self._with_twins(understood, every):
            one = every.get(name)
            refused = None if one is None else refused_service(name, twins, one.policy, available)
            served[name] = None if one is None or refused is not None else one.policy
            said = () if one is None or one.service.departed else one.words.problems
            found = (*said, *(each for each in (failed.get(name), refused) if each is not None))
            met[name] = _as_before(self._known.met.get(name), found) or None
        self._failed = frozenset(failed)
        self._known = Known(
            every=every,
            served=self._known.served.changed(served),
            met=self._known.met.changed(met),
            material=material,
            secrets=secrets,
            available=available,
        )

    def _understood(
        self, name: str, catalog: Catalog, policy: Policy
    ) -> tuple[Understood | None, Problem | None]:
        """Give a service as it is understood, None where it is not to be served at all."""
        entries = catalog.entries
        if name in policy.hidden_services or not (name in catalog.services or name in entries.chains):
            self._memory.forget(("understood", name))
            return None, None
        # One that has a chain need not have instances.
        service = catalog.services.get(name) or self._memory.same(("absent", name), Service(name=name))
        one, problem = self._memory.guarded(
            ("understood", name),
            self._way(name, service, policy),
            service,
            policy.service(name),
            policy.stated.get(name, _NOTHING_STATED),
            entries.overrides.get(name, _NO_OVERRIDES),
            entries.defaults,
            policy.registrations,
        )
        if one is None or not is_exposed(one.words, policy.registrations):
            return None, problem
        before = self._known.every.get(name)
        return (one if before is None else _with_identity(before, one)), problem

    def _way(self, name: str, service: Service, policy: Policy) -> Callable[..., Understood]:
        """Give what understands a service: where all but instances is as before, nothing else is asked."""
        before = self._known.every.get(name)
        if self._is_new or before is None or name in self._failed:
            return understand
        if not before.holds_for(service, policy.registrations):
            return understand
        return lambda *_: replace(before, service=service)

    def _with_twins(self, names: Iterable[str], every: Mapping[str, Understood]) -> Iterator[tuple[str, str]]:
        """Give these names and those that are one with them to Consul; each with the one that has the name.

        Of twins that is the last in order, the one in small letters, which no new one in capitals displaces.
        """
        due = dict.fromkeys(names)
        for name in tuple(due):
            small, is_there = name.lower(), name in every
            if name != small:
                known = self._capitals.get(small, frozenset())
                self._capitals[small] = known | {name} if is_there else known - {name}
                if not self._capitals[small]:
                    del self._capitals[small]
            if is_there != (name in self._known.every):
                due |= dict.fromkeys((*sorted(self._capitals.get(small, ())), small))
        for name in due:
            small = name.lower()
            yield name, small if small in every else max(self._capitals.get(small) or (name,))


def _with_identity(old: Understood, new: Understood) -> Understood:
    """Give `new` with every part that is equal in `old` in its old identity."""
    policy, parts = _as_before(old.policy, new.policy), _as_before(old.parts, new.parts)
    same = Understood(
        service=new.service,
        policy=policy,
        words=_as_before(old.words, new.words),
        parts=parts,
        meaning=old.meaning if policy is old.policy and parts is old.parts else new.meaning,
    )
    return old if old.service is new.service and old.says_the_same(same) else same


def _as_before(old: Any, new: T) -> T:
    kept: T = old if old == new else new
    return kept
