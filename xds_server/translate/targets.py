"""Which instances a cluster leads to: where each is reached, how well it is, and which are used first.

The order is that of the cluster's picks, and within a pick by distance: our own datacenter, then the others.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from envoy.config.core.v3.health_check_pb2 import HealthStatus

from xds_server.model.catalog import Instance, Locality, Service
from xds_server.model.policy import Hostnames
from xds_server.model.problem import Code, Problem
from xds_server.translate.addresses import EndpointRules, Refusal
from xds_server.translate.filters import FilterError, compiled
from xds_server.translate.health import MAX_WEIGHT, UNHEALTHY, weight_and_health
from xds_server.translate.hostnames import host_name
from xds_server.translate.meaning import ClusterSpec, Pick
from xds_server.translate.places import Places

_WAN: Final = "wan"

Rank: TypeAlias = tuple[int, int]
"""The position of the pick in its cluster, and the distance of the datacenter."""


class Target(NamedTuple):
    """An endpoint that passed the rules: an IP address, or a name where `is_name`.

    A tuple, as there is one for every endpoint, and a frozen dataclass takes longer to make.
    """

    host: str
    port: int
    is_name: bool
    weight: int
    status: HealthStatus
    locality: Locality


Priorities: TypeAlias = tuple[tuple[Target, ...], ...]


_Found: TypeAlias = tuple[Rank, Target, Instance]
"""The rank of an endpoint, and the instance that it is."""


def targets(
    spec: ClusterSpec, services: Sequence[Service], rules: EndpointRules, places: Places
) -> tuple[Priorities, tuple[Problem, ...]]:
    """Give the endpoints of a cluster, a tuple for each priority, and why any instance was left out.

    `services` are those of the cluster's picks, in their order. No priority is empty.
    """
    gathering = _Gathering(spec, rules, places)
    for position, (pick, service) in enumerate(zip(spec.picks, services, strict=True)):
        gathering.pick(position, pick, service)
    return gathering.priorities(), tuple(gathering.problems)


class _Gathering:
    """Gathers the endpoints of one cluster, each address and port once."""

    def __init__(self, spec: ClusterSpec, rules: EndpointRules, places: Places) -> None:
        self.problems: list[Problem] = []
        self._spec = spec
        self._rules = rules
        self._places = places
        self._resolves = spec.policy.hostnames is Hostnames.RESOLVE
        self._on_warning = spec.policy.on_warning
        self._found: dict[tuple[str, int], _Found] = {}

    def pick(self, position: int, pick: Pick, service: Service) -> None:
        """Take what one pick leads to, the nearest first: of two with one address the nearer stays."""
        if service.departed:
            return
        meant = self._meant(pick)
        instances = service.instances if meant is None else tuple(filter(meant, service.instances))
        for distance, near in self._by_distance(pick, instances):
            self._take((position, distance), pick, service.name, near)

    def _by_distance(
        self, pick: Pick, instances: Sequence[Instance]
    ) -> Sequence[tuple[int, Sequence[Instance]]]:
        """Give instances by how far they are; those of a pick of one datacenter are all as far."""
        if pick.datacenter or not self._places.others:
            return ((0, instances),)
        distances = {place: self._places.distance(place) for place in {one.datacenter for one in instances}}
        by_distance: dict[int, list[Instance]] = {}
        for instance in instances:
            by_distance.setdefault(distances[instance.datacenter], []).append(instance)
        return sorted(by_distance.items())

    def priorities(self) -> Priorities:
        """Give what was found by rank, without gaps, each in the order of its addresses."""
        by_rank: dict[Rank, list[Target]] = {}
        for rank, target, _ in self._found.values():
            by_rank.setdefault(rank, []).append(target)
        # Host and port come first in a target, and no two are alike in both.
        return tuple(tuple(sorted(by_rank[rank])) for rank in sorted(by_rank))

    def _meant(self, pick: Pick) -> Callable[[Instance], bool] | None:
        """Give what tells whether an instance belongs to a pick; None where all do.

        A filter that is none takes no instance.
        """
        try:
            passes = compiled(pick.filter) if pick.filter else None
        except FilterError as error:
            self.problems.append(_bad_filter(self._spec.name, pick, error))
            return lambda _: False
        if passes is None and not pick.datacenter and not pick.port:
            return None

        def meant(instance: Instance) -> bool:
            if pick.datacenter and (instance.datacenter or self._places.own) != pick.datacenter:
                return False
            if pick.port and all(name != pick.port for name, _ in instance.ports):
                return False
            return passes is None or passes(instance)

        return meant

    def _take(self, rank: Rank, pick: Pick, service: str, instances: Sequence[Instance]) -> None:
        check, lost, found = self._rules.check, self._places.lost, self._found
        for instance in instances:
            address, port = self._reach(pick, instance)
            name = host_name(address) if self._resolves else None
            checked = check(address, port) if name is None else self._rules.check_name(name, port)
            if isinstance(checked, Refusal):
                sentence = f"address {_quoted(address)} {checked.reason}; the endpoint is left out"
                self._problem(checked.code, service, instance, sentence)
                continue
            weight, status = weight_and_health(instance, self._on_warning, only_passing=pick.only_passing)
            if instance.datacenter in lost:
                status = UNHEALTHY
            target = Target(checked, port, name is not None, weight, status, instance.locality)
            one = (rank, target, instance)
            known = found.setdefault((checked, port), one)
            if known is not one:
                self._met_again(known, one, service)
            elif instance.weights.passing > MAX_WEIGHT or instance.weights.warning > MAX_WEIGHT:
                sentence = f"a weight above {MAX_WEIGHT} is taken as {MAX_WEIGHT}"
                self._problem(Code.ENDPOINT_WEIGHT, service, instance, sentence)

    def _reach(self, pick: Pick, instance: Instance) -> tuple[str, int]:
        """Give where an instance is reached: from another datacenter by its `wan` address, if it has one.

        Consul, "Service - Agent HTTP API", `TaggedAddresses`.
        """
        address, port = instance.address, instance.port
        if instance.tagged and not self._places.is_here(instance.datacenter):
            for tag, tagged, tagged_port in instance.tagged:
                if tag == _WAN and tagged:
                    address, port = tagged, tagged_port or port
        return (address, dict(instance.ports)[pick.port]) if pick.port else (address, port)

    def _met_again(self, known: _Found, found: _Found, service: str) -> None:
        """Keep one of two endpoints with one address.

        Of one instance that several picks lead to, the first place counts where it takes traffic.
        """
        (_, before, first), (_, target, instance) = known, found
        if first is instance:
            if UNHEALTHY == before.status != target.status:
                self._found[target.host, target.port] = found
        else:
            sentence = (
                f"{target.host} port {target.port} is registered by {_quoted(first.id)} on node "
                f"{_quoted(first.node)} already; it is listed once"
            )
            self._problem(Code.ENDPOINT_DUPLICATE, service, instance, sentence)

    def _problem(self, code: Code, service: str, instance: Instance, sentence: str) -> None:
        source = (
            f"service {_quoted(service)} instance {_quoted(instance.id)} on node {_quoted(instance.node)}"
        )
        if not self._places.is_here(instance.datacenter):
            source = f"{source} in datacenter {_quoted(instance.datacenter)}"
        self.problems.append(Problem(code=code, source=source, sentence=sentence, index=instance.index))


def _bad_filter(cluster: str, pick: Pick, error: FilterError) -> Problem:
    sentence = (
        f"the filter {_quoted(pick.filter)} cannot be used ({error}), so none of the instances of service "
        f"{_quoted(pick.service)} is taken: correct it where the subset is defined"
    )
    return Problem(code=Code.SUBSET_FILTER, source=f"cluster {_quoted(cluster)}", sentence=sentence)


def _quoted(text: str) -> str:
    """Show hostile text: escaped, and cut to what fits a line."""
    return ascii(text[:80])
