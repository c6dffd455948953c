"""Metrics of several processes as those of one: counters and histograms are added up, gauges by a table."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample as PrometheusSample

from xds_server import telemetry
from xds_server.app.workers.messages import Sample

Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
Families: TypeAlias = dict[str, dict[Key, float]]

_ADDED_UP: Final = frozenset({"counter", "histogram"})

_GAUGES: Final[dict[str, Callable[[Iterable[float]], float]]] = {
    "xds_streams": sum,
    "xds_lagging_clients": sum,
    # What matters is the process that is worst off.
    "xds_client_lag_seconds_max": max,
    "xds_loop_lag_worst_seconds": max,
    "xds_collection_worst_seconds": max,
    "xds_snapshot_behind": max,
    "xds_open_files": max,
}
"""How the values of all processes become one; of other gauges the parent's own value is the truth."""


class Tally:
    """The metrics of this process, told to another: first all, then what has changed."""

    def __init__(self) -> None:
        self._told: dict[Key, float] = {}

    def news(self) -> tuple[tuple[str, tuple[Sample, ...]], ...]:
        """Give what has changed since it was asked for before, by family."""
        found = ((family.name, tuple(self._changed(family))) for family in telemetry.REGISTRY.collect())
        return tuple((name, samples) for name, samples in found if samples)

    def _changed(self, family: Metric) -> Iterator[Sample]:
        for sample in family.samples:
            key = _key(sample)
            if self._told.get(key) != sample.value:
                self._told[key] = sample.value
                yield (*key, sample.value)


class Figures(CollectorRegistry):
    """What `/metrics` shows: this process and all workers together."""

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[int, Families] = {}
        self._gone: Families = defaultdict(dict)
        """What workers that are gone have counted: a sum never goes back."""

    def take(self, worker: int, news: Iterable[tuple[str, tuple[Sample, ...]]]) -> None:
        """Take what a worker's `Tally` tells."""
        families = self._of.setdefault(worker, defaultdict(dict))
        for family, samples in news:
            families[family].update({(name, labels): value for name, labels, value in samples})

    def forget(self, worker: int) -> None:
        """Keep of a worker that is gone what it has counted."""
        for family, values in self._of.pop(worker, {}).items():
            for key, value in values.items():
                self._gone[family][key] = self._gone[family].get(key, 0.0) + value

    def collect(self) -> Iterator[Metric]:
        """Give the families of this process, with the values of all."""
        for family in telemetry.REGISTRY.collect():
            parts: list[dict[Key, float]] = [{_key(one): one.value for one in family.samples}]
            if family.type in _ADDED_UP:
                parts += [found[family.name] for found in (*self._of.values(), self._gone)]
                yield _merged(family, parts, sum)
            elif family.name in _GAUGES:
                parts += [found[family.name] for found in self._of.values()]
                yield _merged(family, parts, _GAUGES[family.name])
            else:
                yield family


def _merged(
    family: Metric, parts: list[dict[Key, float]], together: Callable[[Iterable[float]], float]
) -> Metric:
    merged = Metric(family.name, family.documentation, family.type)
    for name, labels in dict.fromkeys(key for part in parts for key in part):
        values = (part[name, labels] for part in parts if (name, labels) in part)
        merged.add_sample(name, dict(labels), together(values))
    return merged


def _key(sample: PrometheusSample) -> Key:
    return sample.name, tuple(sample.labels.items())
