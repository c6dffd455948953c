"""The answers put together: which services there are, what is known of each, and the Catalog of it; pure.

An unchanged service keeps its identity, and a change of one costs no work on the others.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from xds_server.consul.decode import ServiceAnswer
from xds_server.consul.text import shown
from xds_server.model.catalog import Catalog, Instance, Service
from xds_server.model.entries import NO_ENTRIES, ConfigEntries
from xds_server.model.problem import Code, Problem
from xds_server.model.table import Table


class Assembly:
    """What Consul has been believed so far.

    A listed service is settled once it was read, or given up on for now. `complete` is the first-sync gate:
    all services are settled, and not all of them were given up, as that says more of Consul than of them.
    """

    def __init__(self, datacenter: str) -> None:
        self.datacenter = datacenter
        self.listed: frozenset[str] | None = None
        self._read: set[str] = set()
        self._given_up: set[str] = set()
        self._services: dict[str, Service] = {}
        self._on: defaultdict[str, set[str]] = defaultdict(set)
        """The services that have an instance on a node, by its name."""
        self._changed: dict[str, Service | None] = {}
        """What the next catalog has other than the last."""
        self._name_problems: tuple[Problem, ...] = ()
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._in_order: list[Problem] = []
        """All problems, sorted."""
        self._catalog = Catalog(datacenter=datacenter, services=Table())
        self._is_current = False
        self._entries = NO_ENTRIES
        self.entries_settled = True
        """Whether the first catalog need not wait for config entries."""

    @property
    def complete(self) -> bool:
        """Whether every service is settled, as are config entries, and any was read if there is any."""
        # Counted first, as this is asked after each of the first answers.
        settled = len(self._read) + len(self._given_up)
        if not (self.usable and self.entries_settled):
            return False
        return settled >= len(self.listed or ()) and not self.unsettled

    @property
    def usable(self) -> bool:
        """Whether the list is known, and any service was read if there is any."""
        return self.listed is not None and (bool(self._read) or not self.listed)

    @property
    def unsettled(self) -> frozenset[str]:
        """The listed services that were neither read nor given up."""
        return (self.listed or frozenset()) - self._read - self._given_up

    def was_read(self, name: str) -> bool:
        """Tell whether there is a last good state of this service."""
        return name in self._read

    def service(self, name: str) -> Service | None:
        """Give a service as it is believed to be now."""
        return self._services.get(name)

    def services_on(self, nodes: AbstractSet[str]) -> frozenset[str]:
        """Give the services that have an instance on any of these nodes."""
        return frozenset(name for node in nodes if node in self._on for name in self._on[node])

    def instances(self, name: str) -> frozenset[tuple[str, str]]:
        """Give (node, id) of the instances a service has now."""
        service = self._services.get(name)
        return frozenset((one.node, one.id) for one in service.instances) if service else frozenset()

    def believe_list(self, names: frozenset[str], problems: tuple[Problem, ...]) -> None:
        """Take over a list of services: what is not on it is gone."""
        for name in (self.listed or frozenset()) - names:
            self._read.discard(name)
            self._given_up.discard(name)
            self._explain(name, ())
            self._put(name, None)
        self._replace(self._name_problems, problems)
        self._name_problems = problems
        self.listed = names

    def believe_service(self, answer: ServiceAnswer) -> None:
        """Take over what an answer says of its service."""
        name = answer.service.name
        self.datacenter = self.datacenter or answer.datacenter
        self._read.add(name)
        self._given_up.discard(name)
        self._put(name, None if answer.proxied else _same(self._services.get(name), answer.service))
        self._explain(name, answer.problems)

    def believe_additions(self, answer: ServiceAnswer, gone: frozenset[tuple[str, str]]) -> None:
        """Take over what an answer adds or changes; the instances that are `gone` from it stay."""
        name = answer.service.name
        old = self._services.get(name)
        kept = [one for one in old.instances if (one.node, one.id) in gone] if old else []
        self._put(name, _same(old, Service.of(name, [*answer.service.instances, *kept])))

    def believe_entries(self, entries: ConfigEntries) -> None:
        """Take over what config entries say."""
        if entries is not self._entries:
            self._entries = entries
            self._is_current = False

    def give_up(self, name: str, why: str) -> None:
        """Tell of a service that cannot be read now, with `why`, a sentence; its last good instances stay."""
        if name in self._read:
            effect = "its last good instances are kept"
        else:
            self._given_up.add(name)
            effect = "it is left out until it can be read"
        source = f"consul service {shown(name)}"
        sentence = f"{effect}. {why}"
        self._explain(name, (Problem(code=Code.SERVICE_UNREADABLE, source=source, sentence=sentence),))

    def catalog(self) -> Catalog:
        """Give the catalog of now; the same object while nothing changed."""
        last = self._catalog
        if not self._is_current or last.datacenter != self.datacenter:
            self._catalog = Catalog(
                datacenter=self.datacenter,
                services=last.services.changed(self._changed),
                problems=tuple(self._in_order),
                entries=self._entries,
            )
            self._changed.clear()
            self._is_current = True
        return self._catalog

    def _put(self, name: str, service: Service | None) -> None:
        old = self._services.get(name)
        if service is old:
            return
        if service is None:
            del self._services[name]
        else:
            self._services[name] = service
        self._place(name, _nodes(old), _nodes(service))
        self._changed[name] = service
        self._is_current = False

    def _place(self, name: str, old: AbstractSet[str], new: AbstractSet[str]) -> None:
        """Note on which nodes a service is."""
        for node in new - old:
            self._on[node].add(name)
        for node in old - new:
            self._on[node].discard(name)
            if not self._on[node]:
                del self._on[node]

    def _explain(self, name: str, problems: tuple[Problem, ...]) -> None:
        old = self._problems.pop(name, ())
        if problems:
            self._problems[name] = problems
        self._replace(old, problems)

    def _replace(self, old: tuple[Problem, ...], new: tuple[Problem, ...]) -> None:
        """Have some problems instead of others."""
        if old == new:
            return
        for problem in old:
            del self._in_order[bisect_left(self._in_order, problem)]
        for problem in new:
            insort(self._in_order, problem)
        self._is_current = False


def _nodes(service: Service | None) -> AbstractSet[str]:
    return {one.node for one in service.instances} if service else frozenset()


def _same(old: Service | None, new: Service) -> Service:
    """Give `new` with every part that is equal in `old` in its old identity."""
    if old is None or old == new:
        return old or new
    held = {(one.node, one.id): one for one in old.instances}
    return Service(name=new.name, instances=tuple(_same_instance(held, one) for one in new.instances))


def _same_instance(held: Mapping[tuple[str, str], Instance], new: Instance) -> Instance:
    old = held.get((new.node, new.id))
    return old if old is not None and old == new else new
