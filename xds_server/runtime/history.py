"""What was served before, to go back to: the last catalogs and policies that made a difference."""

from collections import deque
from dataclasses import dataclass
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
    """The last ten states, which share what did not change between them."""

    def __init__(self) -> None:
        self._states: deque[Past] = deque(maxlen=_KEPT)

    @property
    def states(self) -> tuple[Past, ...]:
        """The states, oldest first; the last one is served now."""
        return tuple(self._states)

    def note(self, number: int, at: float, catalog: Catalog, policy: Policy) -> None:
        """Remember a state that is served from now on."""
        self._states.append(Past(number=number, at=at, catalog=catalog, policy=policy))

    def get(self, number: int) -> Past | None:
        """Give a state by its number; None where it is not remembered."""
        return next((one for one in self._states if one.number == number), None)
