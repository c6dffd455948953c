"""What is served in place of what clients reject: the last version they accepted, with all it needs."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from xds_server.model.types import TypeUrl
from xds_server.snapshot.build import succeed
from xds_server.snapshot.resource import Resource
from xds_server.snapshot.snapshot import ResourceSet, Snapshot
from xds_server.snapshot.withhold import withhold

Accepted: TypeAlias = Mapping[TypeUrl, Mapping[str, Resource]]
"""The last version that was accepted, by type and name."""


def fall_back(raw: Snapshot, refused: Iterable[Resource], accepted: Accepted, previous: Snapshot) -> Snapshot:
    """Give what follows `previous`: `raw` with the last accepted version of each refused resource.

    One that was never accepted stays as it is.
    """
    by_name = {type_url: entries.by_name for type_url, entries in raw.sets.items()}
    keys = [one.key for one in refused if one.name in accepted[one.type]]
    changed = withhold(by_name, keys, lambda key: accepted[key[0]].get(key[1]))
    sets = {
        type_url: ResourceSet(changed[type_url], old.derive) if type_url in changed else old
        for type_url, old in raw.sets.items()
    }
    return succeed(previous, sets, raw.problems)
