"""What was served before, to go back to: the last catalogs and policies that made a difference."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy

_KEPT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """One state: the number it is asked for by, the Unix time from which it was served, and what made it."""

    number: int
    at: float
    catalog: Catalog
    policy: Policy


class History:
    """The last ten states the sources led to, which share what did not change between them.

    What an operator chose to serve is none of them: he can go back from there as well.
    """

    def __init__(self) -> None:
        self._states: deque[Past] = deque(maxlen=_KEPT)

    @property
    def states(self) -> tuple[Past, ...]:
        """The states, oldest first; the last one is served now, unless an operator chose another."""
        return tuple(self._states)

    def note(self, past: Past, *, differs: bool) -> None:
        """Remember a state that is served from now on.

        Where it does not differ for the group of all proxies, or in its secrets only, it takes the place of
        the newest: it may differ for a gateway, and a freeze has to hold that too.
        """
        newest = self._states[-1] if self._states else past
        same = past.catalog is newest.catalog and past.policy is newest.policy
        if self._states and (same or not differs):
            self._states[-1] = replace(newest, catalog=past.catalog, policy=past.policy)
        else:
            self._states.append(past)

    def get(self, number: int) -> Past | None:
        """Give a state by its number; None where it is not remembered."""
        return next((one for one in self._states if one.number == number), None)
