"""One load report, read: what a client did in an interval, by place (Envoy API, load_report.proto)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats, UpstreamLocalityStats

_LONGEST_INTERVAL: Final = 86_400.0


class Place(NamedTuple):
    """Where requests went: a cluster, the service its endpoints are of, and a locality.

    What a client dropped it tells for the cluster as a whole: in the row without a locality. (A tuple, as a
    report may have thousands.)
    """

    cluster: str
    service: str = ""
    region: str = ""
    zone: str = ""
    sub_zone: str = ""


@dataclass(slots=True)
class Heard:
    """What one report says of one place."""

    seconds: float = 0.0
    issued: int = 0
    successful: int = 0
    error: int = 0
    dropped: int = 0
    in_progress: int = 0

    def add(self, part: UpstreamLocalityStats) -> None:
        """Add a locality; priorities of a cluster may have one in common."""
        self.issued += part.total_issued_requests
        self.successful += part.total_successful_requests
        self.error += part.total_error_requests
        self.in_progress += part.total_requests_in_progress


def heard_in(clusters: Iterable[ClusterStats]) -> dict[Place, Heard]:
    """Give what a report says; clusters without a request are passed over: Envoy names all it has, always."""
    found: dict[Place, Heard] = {}
    for stats in clusters:
        name, service = stats.cluster_name, stats.cluster_service_name
        if stats.total_dropped_requests:
            place = Place(name, service)
            found.setdefault(place, Heard(_seconds(stats))).dropped += stats.total_dropped_requests
        for part in stats.upstream_locality_stats:
            if part.total_issued_requests or part.total_requests_in_progress or _answered(part):
                where = part.locality
                place = Place(name, service, where.region, where.zone, where.sub_zone)
                found.setdefault(place, Heard(_seconds(stats))).add(part)
    return found


def _answered(part: UpstreamLocalityStats) -> int:
    return part.total_successful_requests + part.total_error_requests


def _seconds(stats: ClusterStats) -> float:
    interval = stats.load_report_interval
    return min(max(interval.seconds + interval.nanos / 1e9, 0.0), _LONGEST_INTERVAL)
