"""A snapshot as it is served to those who are not to have all of it: some keys withheld."""

from collections.abc import Collection
from dataclasses import replace
from types import MappingProxyType

from xds_server.snapshot.build import difference
from xds_server.snapshot.resource import Key
from xds_server.snapshot.snapshot import ResourceSet, Snapshot
from xds_server.snapshot.withhold import Good, has_good, withhold


def fall_back(raw: Snapshot, keys: Collection[Key], good: Good, *, stand_ins: bool = True) -> Snapshot:
    """Give `raw` with the last good version of each of `keys`, or a stand-in; `raw` itself without keys.

    Without `stand_ins` what has no good version is left out. It keeps the sequence of `raw`, which may be one
    with other keys withheld, and tells in `replaced` what differs, so that a stream may go from any such
    snapshot of a group to any other and look at the changes only.
    """
    sets = {type_url: entries.by_name for type_url, entries in raw.sets.items()}
    present = [(type_url, name) for type_url, name in sorted(keys) if name in sets[type_url]]
    if not present:
        return raw
    changed = withhold(sets, present, good, stand_ins=stand_ins)
    replaced = frozenset(
        (type_url, name)
        for type_url, by_name in changed.items()
        for name in difference(sets[type_url], by_name)
    )
    altered = {
        type_url: ResourceSet(changed[type_url], old.derive, old) if type_url in changed else old
        for type_url, old in raw.sets.items()
    }
    return replace(raw, sets=MappingProxyType(altered), replaced=raw.replaced | replaced)


def can_fall_back(raw: Snapshot, key: Key, good: Good) -> bool:
    """Tell whether `fall_back` has a last good version to put in place of a resource."""
    sets = {type_url: entries.by_name for type_url, entries in raw.sets.items()}
    return has_good(sets, key, good)
