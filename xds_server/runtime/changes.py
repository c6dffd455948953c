"""What a state changed, in the few words that an operator needs to choose the one to go back to."""

from dataclasses import dataclass
from typing import Final

from xds_server.model.table import differing
from xds_server.runtime.history import Past

MOST_NAMES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Names of services, at most twenty of each; the counts are of all. Settings, entries may differ too."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    counts: tuple[int, int, int] = (0, 0, 0)
    settings: bool = False
    entries: bool = False


def change(before: Past | None, after: Past) -> Change:
    """Tell how a state differs from the one before it; the first one differs from nothing.

    Services are told apart by identity first, which states of one source share.
    """
    if before is None:
        return Change()
    old, new = before.catalog.services, after.catalog.services
    names = sorted(differing(old, new))
    added = tuple(name for name in names if name not in old)
    removed = tuple(name for name in names if name not in new)
    changed = tuple(name for name in names if name in old and name in new and old[name] != new[name])
    return Change(
        added=added[:MOST_NAMES],
        removed=removed[:MOST_NAMES],
        changed=changed[:MOST_NAMES],
        counts=(len(added), len(removed), len(changed)),
        settings=before.policy is not after.policy and before.policy != after.policy,
        entries=before.catalog.entries is not after.catalog.entries,
    )
