"""The last translation of a group, and what it takes to make some of it again."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy
from xds_server.model.problem import Code, Problem
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.backends import Backend
from xds_server.translate.entrances import Inside
from xds_server.translate.memory import Part
from xds_server.translate.packing import Draft
from xds_server.translate.understanding import Known

_NOTHING_DERIVED: Final[Mapping[TypeUrl, Callable[[str], Draft | None]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """All resources of a proxy group, by type and name, and all problems met on the way."""

    drafts: Mapping[TypeUrl, Table[Draft]]
    problems: tuple[Problem, ...]
    derived: Mapping[TypeUrl, Callable[[str], Draft | None]] = field(default_factory=lambda: _NOTHING_DERIVED)
    """What makes resources for names that tell all there is to say; constant for each name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """How an Envoy's listeners were made, and of what: `entrances`, from `inside`.

    `chained` are the services that discovery chains speak of, `base` the problems that are neither of
    services nor of listeners. `gone` counts the services that went since everything was translated.
    """

    inside: Inside
    entrances: list[Part]
    chained: frozenset[str]
    base: tuple[Problem, ...]
    gone: int = 0

    def others(self, known: Known) -> tuple[Problem, ...]:
        """Give the problems that are not of backends; a gateway's are its own alone."""
        told = (problem for _, problems in self.entrances for problem in problems)
        return (*(() if self.inside.gate else known.problems), *self.base, *told)


class Made(NamedTuple):
    """Everything: backends, all other parts, the problems that are not of backends, and the whole."""

    backends: dict[str, Backend]
    parts: list[Part]
    others: tuple[Problem, ...]
    whole: Whole | None


@dataclass(slots=True)
class Standpoint:
    """A catalog, and what is known of it: where one group is, or many are that go on together."""

    known: Known
    catalog: Catalog


@dataclass(slots=True, kw_only=True)
class Last:
    """The last translation, and the standpoint and the policy that it is of.

    `uses` has the clusters that a service's instances are endpoints of. `met` are the problems of each
    backend that has any, `others` those that are neither of backends nor of the source. `reads` are the only
    services that matter to the group, None where it may be any. `whole` is None where the listeners are not
    an Envoy's.
    """

    at: Standpoint
    policy: Policy
    backends: dict[str, Backend]
    others: tuple[Problem, ...]
    reads: frozenset[str] | None
    whole: Whole | None
    translation: Translation
    uses: dict[str, list[str]] = field(default_factory=dict)
    met: dict[str, tuple[Problem, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for made in self.backends.values():
            self._note(made)

    @property
    def known(self) -> Known:
        """What was known of the catalog that it is of."""
        return self.at.known

    @property
    def catalog(self) -> Catalog:
        """The catalog that it is of."""
        return self.at.catalog

    @property
    def failed(self) -> bool:
        """Whether a part could not be made. It may work now, whatever it was."""
        return any(one.code is Code.TRANSLATION_FAILED for one in self.translation.problems)

    def differs_in_services_only(self, known: Known, catalog: Catalog, policy: Policy) -> bool:
        """Tell whether all but the services, and the problems of the source, is as it was."""
        return (
            policy is self.policy
            and known.material is self.known.material
            and only_services_differ(self.catalog, catalog)
            and not self.failed
        )

    def matters(self, known: Known, catalog: Catalog) -> bool:
        """Tell whether anything that the group reads differs in a catalog, where services alone do."""
        step = known.step(self.known)
        read = self.uses.keys() if step.instances_only else self.reads
        return catalog.problems != self.catalog.problems or read is None or not read.isdisjoint(step.names)

    def is_plain(self, name: str, known: Known) -> bool:
        """Tell whether a service has just the cluster of its name and asks for no more, then and now."""
        if self.whole is None or name in self.whole.chained:
            return False
        if any(every[name].words.wishes for every in (self.known.every, known.every) if name in every):
            return False
        found, cluster = self.whole.inside.found, names.cluster(name)
        refused = found is not None and cluster in found.refused and not self.known.is_departed(name)
        if refused or (found is not None and name in found.services):
            return False
        own = self.uses.get(name)
        return cluster not in self.backends if own is None else own == [cluster]

    def of(self, service: str) -> list[Backend]:
        """Give the backends that a service's instances are endpoints of."""
        return [self.backends[cluster] for cluster in self.uses.get(service, ())]

    def forget(self, service: str) -> None:
        """Take out the backends of a plain service."""
        for cluster in self.uses.pop(service, ()):
            del self.backends[cluster]
            self.met.pop(cluster, None)

    def take(self, backends: Iterable[Backend]) -> None:
        """Take in backends, new ones or in place of those of the same name."""
        for made in backends:
            self.met.pop(made.spec.name, None)
            self.backends[made.spec.name] = made
            self._note(made)

    def _note(self, made: Backend) -> None:
        cluster = made.spec.name
        if made.problems:
            self.met[cluster] = made.problems
        for pick in made.spec.picks:
            uses = self.uses.setdefault(pick.service, [])
            if cluster not in uses:
                uses.append(cluster)

    def followed(
        self, known: Known, catalog: Catalog, made: Iterable[Draft], gone: Iterable[Draft] = ()
    ) -> "Last":
        """Give what is the last translation now: with what was `made`, without what is `gone`."""
        changes: defaultdict[TypeUrl, dict[str, Draft | None]] = defaultdict(dict)
        for draft in gone:
            changes[draft.type][draft.name] = None
        for draft in made:
            changes[draft.type][draft.name] = draft
        before = self.translation
        drafts = {one: before.drafts[one].changed(of_type) for one, of_type in changes.items()}
        self.at = Standpoint(known, catalog)
        self.translation = Translation(
            drafts=MappingProxyType({**before.drafts, **drafts}),
            problems=sorted_problems(catalog.problems, self.others, *self.met.values()),
            derived=before.derived,
        )
        return self


def only_services_differ(before: Catalog, catalog: Catalog) -> bool:
    """Tell whether all but the services, and the problems of the source, is the same in two catalogs."""
    return (
        catalog.entries is before.entries
        and catalog.datacenter == before.datacenter
        and catalog.lost == before.lost
    )


def sorted_problems(*problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Give problems in order, each once."""
    return tuple(sorted(set(chain.from_iterable(problems))))
