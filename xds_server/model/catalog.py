"""The catalog: which services there are, and which instances each has.

The same value comes from Consul and from a file. It holds what the source said, decoded and typed;
whether an address or a port may be used is decided where endpoints are made (`translate.endpoints`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from xds_server.model.entries import NO_ENTRIES, ConfigEntries
from xds_server.model.problem import Problem
from xds_server.model.table import Table

NO_META: Final[tuple[tuple[str, str], ...]] = ()

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", re.ASCII)


def is_service_name(name: str) -> bool:
    """Tell whether a service name may meet a URL, a domain and an Envoy resource name.

    Letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit, 128 characters at the
    most, and no empty label. Consul itself accepts path separators, control characters and 300 kB.
    """
    return _NAME.fullmatch(name) is not None and ".." not in name


class Status(StrEnum):
    """A check's status in Consul's words; a word Consul does not know counts as critical.

    Nothing else of a check is kept: its output changes without meaning, and its id means nothing to Envoy.
    """

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"


_WELL: Final = ((Status.PASSING,), ())


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Weights:
    """Consul's `Service.Weights`: the weight while passing, and the weight while warning."""

    passing: int = 1
    warning: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Locality:
    """Where an instance runs, in Envoy's three words; empty strings mean not said."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Instance:
    """One registered instance of a service.

    `address` is the service's own address, or its node's where it has none, exactly as registered.
    `tagged` holds the tagged addresses (`lan`, `wan`, ...) as sorted (tag, address, port), `ports` the named
    ports of a service with several as sorted (name, port); `port` is then the default one. `statuses` are
    those of its checks and its node's, each once, sorted; without any it is passing. `created` is
    Consul's CreateIndex, which tells who was there first. With `cut` its tags and Meta say more than is kept.
    `index` is its ModifyIndex; it does not take part in comparison.
    """

    node: str
    id: str
    address: str
    port: int
    tagged: tuple[tuple[str, str, int], ...] = ()
    tags: tuple[str, ...] = ()
    meta: tuple[tuple[str, str], ...] = NO_META
    weights: Weights = Weights()
    statuses: tuple[Status, ...] = ()
    node_meta: tuple[tuple[str, str], ...] = NO_META
    ports: tuple[tuple[str, int], ...] = ()
    datacenter: str = ""
    locality: Locality = Locality()
    created: int = 0
    cut: bool = False
    index: int = field(default=0, compare=False)

    @property
    def is_passing(self) -> bool:
        """Whether no check says anything else."""
        return self.statuses in _WELL


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service and its instances, sorted by node and id.

    One that has `departed` is not there any more: its instances tell what it was, and none is an endpoint.
    """

    name: str
    instances: tuple[Instance, ...] = ()
    departed: bool = False

    @classmethod
    def of(cls, name: str, instances: Iterable[Instance]) -> "Service":
        """Make a service from instances in any order."""
        given = tuple(instances)
        by_id = {(one.node, one.id): one for one in given}
        # Only two of one node and id have to be told apart by all they have.
        in_order = sorted(given) if len(by_id) < len(given) else map(by_id.__getitem__, sorted(by_id))
        return cls(name=name, instances=tuple(in_order))


def differing_instances(
    old: tuple[Instance, ...], new: tuple[Instance, ...]
) -> tuple[list[Instance], list[Instance]]:
    """Give what is in the old ones only, and what is in the new ones only.

    Both are in order, so that most are at the same place in both, counted from the start or from the end.
    """
    first = _alike(old, new)
    old, new = old[first:], new[first:]
    last = _alike(old[::-1], new[::-1])
    old, new = old[: len(old) - last], new[: len(new) - last]
    there, were = {id(one) for one in new}, {id(one) for one in old}
    return [one for one in old if id(one) not in there], [one for one in new if id(one) not in were]


def _alike(old: tuple[Instance, ...], new: tuple[Instance, ...]) -> int:
    """Count from the start on how many are equal, by halves: the same objects in a row are equal at once."""
    alike, end = 0, min(len(old), len(new))
    while alike < end:
        half = (alike + end + 1) // 2
        if old[alike:half] == new[alike:half]:
            alike = half
        else:
            end = half - 1
    return alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All services by name in sorted order, what config entries say, and what could not be read.

    `datacenter` is our own; instances of others say theirs. `lost` are the other datacenters that could not
    be reached for longer than their instances may be believed.
    """

    datacenter: str
    services: Table[Service]
    problems: tuple[Problem, ...] = ()
    entries: ConfigEntries = NO_ENTRIES
    lost: frozenset[str] = frozenset()

    @classmethod
    def of(cls, datacenter: str, services: Iterable[Service], problems: Iterable[Problem] = ()) -> "Catalog":
        """Make a catalog from parts in any order; of two services of one name the last stays."""
        return cls(
            datacenter=datacenter,
            services=Table({service.name: service for service in services}),
            problems=tuple(sorted(problems)),
        )
