"""What the operator says of the guards."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardOptions:
    """Bounds of the guards; percentages are 0 to 100, times seconds.

    More than `lost_services` of the services, or `lost_endpoints` of the endpoints, gone within `window` are
    held, until the source has lacked them for `hold`. A service that loses its last instance is held for
    `last_endpoint_hold` where its policy says so. The clusters of a service that has left stay for
    `remove_clusters_after`, for ever with None. `own_word` tells that the catalog is a file that the operator
    writes.
    """

    lost_services: int = 30
    lost_endpoints: int = 50
    window: float = 60.0
    hold: float = 300.0
    last_endpoint_hold: float = 30.0
    remove_clusters_after: float | None = 600.0
    own_word: bool = False
