"""The endpoints of a large cluster, of which only those are made again that come, change or go.

To make 34,000 endpoints takes a third of a second, and to join their bytes a millisecond. Of small clusters
nothing is held beside the finished assignment: they are made anew as fast as they could be looked up.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from xds_server.model.catalog import Instance, Service, differing_instances
from xds_server.model.problem import Code, Problem
from xds_server.translate import endpoints
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.packing import Draft
from xds_server.translate.places import Places
from xds_server.translate.targets import Target, targets

_LARGE: Final = 256
"""Instances from which on an assignment is held in parts, for some 160 bytes each."""

_MOST_FRESH: Final = 4
"""Where more than one in so many is new, everything is made anew."""


def is_large(services: Sequence[Service], places: Places) -> bool:
    """Tell whether a cluster of these services is worth being held in parts, and has one priority."""
    return len(services) == 1 and len(services[0].instances) >= _LARGE and not places.others


class Large:
    """The assignment of a large cluster, made with the same rules and places each time."""

    def __init__(self, spec: ClusterSpec, rules: EndpointRules, places: Places) -> None:
        self._spec = spec
        self._rules = rules
        self._places = places
        self._instances: tuple[Instance, ...] | None = None
        """What the rows were made of; None where they are not to be followed."""
        self._problems: tuple[Problem, ...] = ()
        self._rows: dict[endpoints.Place, _Row] = {}

    def assignment(self, service: Service) -> tuple[Draft, tuple[Problem, ...]]:
        """Give what `endpoints.assignment` gives for the service of the cluster's only pick."""
        # What fails on the way must not be gone on from.
        before, self._instances = self._instances, None
        if before is None or not self._follow(before, service):
            priorities, self._problems = targets(self._spec, (service,), self._rules, self._places)
            if not self._begin(priorities[0] if len(priorities) == 1 else ()):
                return endpoints.assigned(self._spec.name, priorities), self._problems
        self._instances = service.instances
        localities = (
            endpoints.locality_bytes(place, row.fields, row.weight, 0)
            for place, row in sorted(self._rows.items())
            if row.fields
        )
        return endpoints.assembled(self._spec.name, localities), self._problems

    def _begin(self, found: Sequence[Target]) -> bool:
        """Put all targets into rows, in their order; tell whether they can be gone on from.

        There has to be one priority, in which nothing depends on what else is there.
        """
        self._rows = {}
        if not found or any(one.code is Code.ENDPOINT_DUPLICATE for one in self._problems):
            return False
        for target in found:
            self._row(target).append(target)
        return self._fits()

    def _fits(self) -> bool:
        return sum(row.weight for row in self._rows.values()) <= endpoints.MAX_SUM

    def _row(self, target: Target) -> "_Row":
        place = endpoints.place_of(target.locality)
        row = self._rows.get(place)
        if row is None:
            row = self._rows[place] = _Row()
        return row

    def _follow(self, before: tuple[Instance, ...], service: Service) -> bool:
        """Change the rows as the instances changed; where that is not enough, they are of no more use."""
        gone, fresh = differing_instances(before, service.instances)
        if service.departed or len(fresh) * _MOST_FRESH > len(before):
            return False
        had, has = self._alone(gone), self._alone(fresh)
        if had is None or has is None:
            return False
        for target in had:
            self._row(target).remove(target)
        for target in has:
            if any(row.has(target) for row in self._rows.values()):
                return False
            self._row(target).insert(target)
        return self._fits() and any(row.fields for row in self._rows.values())

    def _alone(self, instances: Sequence[Instance]) -> tuple[Target, ...] | None:
        """Give the targets of some instances; None where there is more to say of one than that it is one."""
        some = Service(name=self._spec.picks[0].service, instances=tuple(instances))
        priorities, problems = targets(self._spec, (some,), self._rules, self._places)
        if problems:
            return None
        return priorities[0] if priorities else ()


class _Row:
    """The endpoints of a locality, in the order of their addresses: as keys, and as fields of it."""

    __slots__ = ("_keys", "fields", "weight")

    def __init__(self) -> None:
        self._keys: list[tuple[str, int]] = []
        self.fields: list[bytes] = []
        self.weight = 0

    def append(self, target: Target) -> None:
        """Add the last one."""
        self._put(len(self._keys), target)

    def insert(self, target: Target) -> None:
        """Add one, which is not there, in its place."""
        self._put(bisect_left(self._keys, (target.host, target.port)), target)

    def _put(self, at: int, target: Target) -> None:
        self._keys.insert(at, (target.host, target.port))
        self.fields.insert(at, endpoints.endpoint_bytes(target))
        self.weight += target.weight

    def remove(self, target: Target) -> None:
        """Take one out, which is there."""
        at = bisect_left(self._keys, (target.host, target.port))
        del self._keys[at], self.fields[at]
        self.weight -= target.weight

    def has(self, target: Target) -> bool:
        """Tell whether an endpoint of this address and port is there."""
        key = (target.host, target.port)
        at = bisect_left(self._keys, key)
        return at < len(self._keys) and self._keys[at] == key
