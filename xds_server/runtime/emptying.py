"""Holds a line's last listeners and clusters when none are left, until the operator confirms that."""

import time

from xds_server.guard import emptied, refilled
from xds_server.guard.empty import hold
from xds_server.model.hold import Hold
from xds_server.model.proxy import Group
from xds_server.model.types import TypeUrl
from xds_server.snapshot import Snapshot
from xds_server.snapshot.build import succeed


class Emptying:
    """The empty guard of one group, where its snapshots are published."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._since = dict[TypeUrl, float]()
        self._confirmed = frozenset[TypeUrl]()

    def guard(self, snapshot: Snapshot, previous: Snapshot) -> Snapshot:
        """Give what may follow `previous`: `snapshot` itself, or with what would be missing as it was."""
        held = emptied(previous.sets, snapshot.sets, self._group, self._confirmed)
        self._confirmed = frozenset()
        self._since = {one: self._since.get(one, time.time()) for one in held}
        if not held:
            return snapshot
        refilled_sets = refilled(previous.sets, snapshot.sets, held)
        return succeed(previous, refilled_sets, snapshot.problems, snapshot.made)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What is held now."""
        return tuple(hold(one, since) for one, since in self._since.items())

    def accept(self, hold_id: str | None) -> tuple[Hold, ...]:
        """Let a hold, or with None every one, go with the next snapshot; give those that this is said of."""
        held = zip(self._since, self.holds, strict=True)
        accepted = {one: made for one, made in held if hold_id in (None, made.id)}
        self._confirmed |= accepted.keys()
        return tuple(accepted.values())
