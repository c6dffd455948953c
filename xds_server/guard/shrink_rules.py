"""When a fleet is taken to have shrunk, as a table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xds_server.guard.options import GuardOptions

# Below these a small fleet goes about its business: one of two services may leave, a group of nine may end.
_SERVICES_FLOOR: Final = 5
_ENDPOINTS_FLOOR: Final = 10
# A source that has no service left at all is doubted sooner.
_EVERYTHING_FLOOR: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrink:
    """How much is gone since the window began: services that had instances, and net instances."""

    services: int
    lost_services: int
    endpoints: int
    lost_endpoints: int
    left: int
    """The services with instances that the candidate has."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: when it trips, and whether it is for a catalog that the operator writes."""

    trips: Callable[[Shrink, GuardOptions], bool]
    own_word: bool = False


RULES: Final = (
    # A catalog file is the operator's word: he may halve it. But an empty one is what a broken template, a
    # failed download or a truncated write leaves.
    Rule(lambda shrink, _: not shrink.left and shrink.lost_services > 0, own_word=True),
    # Nothing at all is left.
    Rule(lambda shrink, _: not shrink.left and shrink.lost_services >= _EVERYTHING_FLOOR),
    # Many services are gone.
    Rule(
        lambda shrink, options: (
            shrink.lost_services >= _SERVICES_FLOOR
            and 100 * shrink.lost_services > options.lost_services * shrink.services
        )
    ),
    # Many instances are gone, be it of one service. Counted net: a rolling update replaces every one of them.
    Rule(
        lambda shrink, options: (
            shrink.lost_endpoints >= _ENDPOINTS_FLOOR
            and 100 * shrink.lost_endpoints > options.lost_endpoints * shrink.endpoints
        )
    ),
)
