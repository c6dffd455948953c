"""The catalogs of several datacenters as one; pure.

A service keeps its identity while none of its parts changed, so that a change in one datacenter costs no work
on what it did not touch.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest
from operator import is_
from typing import Final

from xds_server.model.catalog import Catalog, Service
from xds_server.model.problem import Problem
from xds_server.model.table import Table, differing


class Merger:
    """Puts catalogs together, and remembers what came of which."""

    def __init__(self) -> None:
        self._parts: tuple[Catalog, ...] = ()
        self._services = Table[Service]()
        self._problems: tuple[Problem, ...] = ()

    def merged(self, own: Catalog, others: Iterable[Catalog], lost: frozenset[str]) -> Catalog:
        """Give our own catalog with the instances of the other datacenters added to its services.

        A service that is only elsewhere is in it as well. `lost` are the datacenters that were cut off for
        longer than they may be believed.
        """
        old, new = self._parts, (own, *others)
        tables = zip_longest(*([one.services for one in some] for some in (old, new)), fillvalue=_NO_SERVICES)
        changed = frozenset[str]().union(*(differing(was, now) for was, now in tables))
        self._services = self._services.changed({name: _put_together(name, new) for name in changed})
        if len(old) != len(new) or not all(map(is_, map(_problems, old), map(_problems, new))):
            self._problems = tuple(sorted({problem for one in new for problem in one.problems}))
        self._parts = new
        return replace(own, services=self._services, problems=self._problems, lost=lost)


_NO_SERVICES: Final = Table[Service]()


def _problems(catalog: Catalog) -> tuple[Problem, ...]:
    return catalog.problems


def _put_together(name: str, catalogs: Iterable[Catalog]) -> Service | None:
    """Give what the catalogs say of one service, None where that is nothing."""
    parts = [part for one in catalogs if (part := one.services.get(name)) is not None]
    if len(parts) > 1:
        return Service.of(name, (instance for part in parts for instance in part.instances))
    return parts[0] if parts else None
