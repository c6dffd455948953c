"""The inputs of the pipeline on their way to a worker: whole at first, and then what is different.

Both sides hold the values as they were sent last; a change costs what it changes. Long tables are sent in
parts, so that neither side stands still meanwhile, and take effect together.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from xds_server.app.workers.messages import CatalogIs, Done, Part, Pin, PolicyIs, SecretsAre, Unpin
from xds_server.model.catalog import Catalog, Service
from xds_server.model.entries import NO_ENTRIES, ConfigEntries
from xds_server.model.policy import Policy
from xds_server.model.secret import Secrets
from xds_server.model.table import Table, differing
from xds_server.runtime.history import Past

_AT_A_TIME: Final = 100
"""Values of a part: 100 services with ten instances each take 15 ms to read."""

_NO_SERVICES: Final = Table[Service]()
_NO_CATALOG: Final = Catalog(datacenter="", services=_NO_SERVICES)
_SERVICES: Final = "services"
_OF_ENTRIES: Final[dict[str, Callable[[Catalog], Mapping[str, Any]]]] = {
    "overrides": lambda catalog: catalog.entries.overrides,
    "chains": lambda catalog: catalog.entries.chains,
    "gateways": lambda catalog: catalog.entries.gateways,
}
_TABLES: Final[dict[str, Callable[[Catalog], Mapping[str, Any]]]] = {
    _SERVICES: lambda catalog: catalog.services,
    **_OF_ENTRIES,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What snapshots are made of: what is believed, or what an operator has pinned. None: not there yet."""

    catalog: Catalog | None = None
    policy: Policy | None = None
    secrets: Secrets | None = None
    pin: Past | None = None


NOTHING: Final = Inputs()


# --- sending -------------------------------------------------------------------------------------------


def news(old: Inputs, new: Inputs) -> Iterator[Any]:
    """Give the messages that make `new` of `old`; values are told apart by identity."""
    base = old.catalog or _NO_CATALOG
    if new.catalog is not None and new.catalog is not old.catalog:
        yield from _parts(base, new.catalog)
        yield _catalog_is(base, new.catalog)
        base = new.catalog
    if new.policy is not None and new.policy is not old.policy:
        yield PolicyIs(new.policy)
    if new.secrets is not None and new.secrets is not old.secrets:
        yield SecretsAre(new.secrets)
    if new.pin is not old.pin:
        yield from _pin(base, new.pin)
    yield Done()


def _pin(base: Catalog, pin: Past | None) -> Iterator[Any]:
    if pin is None:
        yield Unpin()
        return
    yield from _parts(base, pin.catalog)
    yield Pin(number=pin.number, at=pin.at, catalog=_catalog_is(base, pin.catalog), policy=pin.policy)


def _parts(old: Catalog, new: Catalog) -> Iterator[Part]:
    for table, get in _TABLES.items():
        before, now = get(old), get(new)
        names = iter(sorted(differing(before, now)))
        while some := tuple(islice(names, _AT_A_TIME)):
            yield Part(table, {name: now.get(name) for name in some})


def _catalog_is(old: Catalog, new: Catalog) -> CatalogIs:
    rest = replace(new, services=_NO_SERVICES, entries=_bare(new.entries), problems=())
    return CatalogIs(rest, None if new.problems == old.problems else new.problems)


def _bare(entries: ConfigEntries) -> ConfigEntries:
    """Give config entries without their tables."""
    return replace(
        entries, overrides=NO_ENTRIES.overrides, chains=NO_ENTRIES.chains, gateways=NO_ENTRIES.gateways
    )


# --- receiving -----------------------------------------------------------------------------------------


class Receiver:
    """Puts the inputs together again."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, Any]] = {}
        self._inputs = NOTHING

    def take(self, message: Any) -> Inputs | None:
        """Take a message of `news`; give the inputs with the last one of them, and None before."""
        match message:
            case Part(table, values):
                self._parts.setdefault(table, {}).update(values)
            case CatalogIs():
                self._inputs = replace(self._inputs, catalog=self._catalog(message))
            case PolicyIs(policy):
                self._inputs = replace(self._inputs, policy=policy)
            case SecretsAre(secrets):
                self._inputs = replace(self._inputs, secrets=secrets)
            case Pin():
                catalog = self._catalog(message.catalog)
                past = Past(number=message.number, at=message.at, catalog=catalog, policy=message.policy)
                self._inputs = replace(self._inputs, pin=past)
            case Unpin():
                self._inputs = replace(self._inputs, pin=None)
            case Done():
                return self._inputs
        return None

    def _catalog(self, message: CatalogIs) -> Catalog:
        """Give the catalog before with what came since; what did not change keeps its identity."""
        base, parts, rest = self._inputs.catalog or _NO_CATALOG, self._parts, message.rest
        self._parts = {}
        entries = base.entries
        if parts.keys() & _OF_ENTRIES.keys() or rest.entries != _bare(entries):
            tables: dict[str, Any] = {
                table: _changed(get(base), parts.get(table, {})) for table, get in _OF_ENTRIES.items()
            }
            entries = replace(rest.entries, **tables)
        return replace(
            rest,
            services=base.services.changed(parts.get(_SERVICES, {})),
            entries=entries,
            problems=base.problems if message.problems is None else message.problems,
        )


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    if not changes:
        return values
    if isinstance(values, Table):
        return values.changed(changes)
    both = {**values, **changes}
    return MappingProxyType({name: both[name] for name in sorted(both) if both[name] is not None})
