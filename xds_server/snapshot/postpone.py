"""A snapshot without what is still, or for good, not to be served: the versions of the one before stay."""

from collections.abc import Iterable

from xds_server.model.problem import Problem
from xds_server.model.table import Table
from xds_server.snapshot.build import succeed
from xds_server.snapshot.check import close_references
from xds_server.snapshot.check.references import dangling
from xds_server.snapshot.resource import Key, Resource
from xds_server.snapshot.snapshot import ResourceSet, Snapshot
from xds_server.snapshot.withhold import withhold


def postpone(
    candidate: Snapshot,
    previous: Snapshot,
    pending: Iterable[Key],
    bad: Iterable[Key],
    problems: Iterable[Problem],
) -> Snapshot:
    """Give what follows `previous`: `candidate` without what is `pending` or `bad`.

    What leads to something pending waits with it. Something bad that was never served gets a stand-in;
    something pending does not, as it may be there in a moment.
    """

    def good(key: Key) -> Resource | None:
        return previous.sets[key[0]].by_name.get(key[1])

    sets = {type_url: entries.by_name for type_url, entries in candidate.sets.items()}
    sets |= withhold(sets, sorted(bad), good)
    waiting = sorted(pending)
    while waiting:
        sets |= withhold(sets, waiting, good, stand_ins=False)
        waiting = [one.key for one, _ in dangling(sets) if good(one.key) is not one]
    closed, lost = close_references(sets)
    kept = {type_url: _set(closed[type_url], entries) for type_url, entries in candidate.sets.items()}
    return succeed(previous, kept, tuple(sorted({*candidate.problems, *problems, *lost})), candidate.made)


def _set(by_name: Table[Resource], old: ResourceSet) -> ResourceSet:
    return old if by_name is old.by_name else ResourceSet(by_name, old.derive, old)
