"""The catalogs of several datacenters as one; pure.

A service keeps its identity while none of its parts changed, so that a change in one datacenter costs no work
on what it did not touch.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from xds_server.model.catalog import Catalog, Service
from xds_server.model.table import Table


class Merger:
    """Puts catalogs together, and remembers what came of which services."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[Service, ...], Service]] = {}

    def merged(self, own: Catalog, others: Iterable[Catalog], lost: frozenset[str]) -> Catalog:
        """Give our own catalog with the instances of the other datacenters added to its services.

        A service that is only elsewhere is in it as well. `lost` are the datacenters that were cut off for
        longer than they may be believed.
        """
        others = tuple(others)
        parts: defaultdict[str, tuple[Service, ...]] = defaultdict(tuple)
        for catalog in (own, *others):
            for name, service in catalog.services.items():
                parts[name] += (service,)
        known, self._known = self._known, {}
        services = {name: self._put_together(name, known, parts[name]) for name in sorted(parts)}
        return replace(
            own,
            services=Table(services),
            problems=tuple(sorted({problem for catalog in (own, *others) for problem in catalog.problems})),
            lost=lost,
        )

    def _put_together(
        self, name: str, known: dict[str, tuple[tuple[Service, ...], Service]], parts: tuple[Service, ...]
    ) -> Service:
        if len(parts) == 1:
            return parts[0]
        last = known.get(name)
        if last is None or not _same(last[0], parts):
            last = parts, Service.of(name, (instance for part in parts for instance in part.instances))
        self._known[name] = last
        return last[1]


def _same(old: tuple[Service, ...], new: tuple[Service, ...]) -> bool:
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))
