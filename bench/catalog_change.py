"""What one change of one service costs between Consul's answer and the pipeline, by the size of the catalog.

    python -m bench.catalog_change [--services 100 --services 1000 --services 10000] [--instances 10]

The processor's time from a decoded answer to the catalog in the pipeline's cell: assembly, merging with
another datacenter, guards, and the two cells between them. The changes are of four kinds, and the last two
are of the first kind, in a catalog where a service has left or many are held. A figure is the median of five
rounds, which take turns over the sizes. The curve is to be flat.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from time import process_time
from typing import Final

import click

from xds_server.consul.assembly import Assembly
from xds_server.consul.decode import ServiceAnswer
from xds_server.consul.merge import Merger
from xds_server.guard import Evidence, GuardOptions, beginning, weigh
from xds_server.model.catalog import Catalog, Instance, Service, Status
from xds_server.model.policy import Policy
from xds_server.runtime.latest import Latest

_ALIVE: Final = (Status.PASSING,)
_ROUNDS: Final = 5
_CHANGES: Final = 40
_PAUSE: Final = 0.5
"""Seconds between two changes, as the guards see them: their window moves, and no hold ends."""
_OPTIONS: Final = GuardOptions()


def name_of(number: int) -> str:
    """Name a service."""
    return f"service-{number:05}"


def answer(number: int, instances: int, port: int = 8080) -> ServiceAnswer:
    """Give what Consul says of a service with so many instances, all on one port."""
    name = name_of(number)
    found = [
        Instance(
            node=f"node-{(number + one) % 200}",
            id=f"{name}-{one}",
            address=f"10.{number >> 8}.{number & 255}.{one}",
            port=port,
            statuses=_ALIVE,
        )
        for one in range(instances)
    ]
    service = Service.of(name, found)
    return ServiceAnswer(
        service=service, problems=(), rows=instances, unreadable=0, proxied=False, datacenter="dc1"
    )


class Way:
    """The way of a catalog from the answers to the pipeline; `other` is another datacenter's, if any."""

    def __init__(self, services: int, instances: int, other: Catalog | None = None) -> None:
        self.services, self.instances = services, instances
        self._assembly = Assembly("dc1")
        self._merger, self._other = Merger(), other
        self._source, self._out = Latest[Catalog](), Latest[Catalog]()
        self._state, self._now = beginning(None), 0.0
        self.list_all()
        for number in range(services):
            self._assembly.believe_service(answer(number, instances))
        self.hand_on()

    def list_all(self, but: int = 0) -> None:
        """Believe the list of services, without the last so many."""
        self._assembly.believe_list(frozenset(map(name_of, range(self.services - but))), ())

    def take(self, answer: ServiceAnswer) -> None:
        """Take an answer the whole way."""
        self._assembly.believe_service(answer)
        self.hand_on()

    def hand_on(self) -> None:
        """Hand the catalog on."""
        catalog = self._assembly.catalog()
        if self._other is not None:
            catalog = self._merger.merged(catalog, [self._other], frozenset())
        self._source.publish(catalog)
        self._now += _PAUSE
        decision = weigh(self._state, catalog, Evidence(now=self._now, live=True), Policy(), _OPTIONS)
        self._state = decision.state
        self._out.publish(decision.catalog)


def changes(way: Way, sizes: tuple[int, int]) -> Iterator[ServiceAnswer]:
    """Give answers for ever: each has another port, and the two sizes in turn."""
    for number in count():
        yield answer(number * 7 % (way.services // 2), sizes[number % 2], port=9000 + number % 1000)


def _plain(services: int, instances: int) -> Way:
    return Way(services, instances)


def _two_datacenters(services: int, instances: int) -> Way:
    there = [answer(number, instances).service for number in range(services)]
    moved = [
        replace(one, instances=tuple(replace(each, datacenter="dc2") for each in one.instances))
        for one in there
    ]
    return Way(services, instances, Catalog.of("dc2", moved))


def _with_one_gone(services: int, instances: int) -> Way:
    way = Way(services, instances)
    way.list_all(but=1)
    way.hand_on()
    return way


def _with_many_held(services: int, instances: int) -> Way:
    way = Way(services, instances)
    way.list_all(but=max(services * 2 // 5, 40))
    way.hand_on()
    return way


KINDS: Final[dict[str, tuple[Callable[[int, int], Way], int]]] = {
    # What changes: what it happens to, and how many instances come and go with each change.
    "another port": (_plain, 0),
    "an instance comes or goes": (_plain, 1),
    "another port, of two datacenters": (_two_datacenters, 0),
    "another port, after a service has left": (_with_one_gone, 0),
    "another port, while two fifths are held": (_with_many_held, 0),
}


def microseconds(way: Way, answers: Iterator[ServiceAnswer]) -> float:
    """Give the time of one change, on average over some."""
    ready = [next(answers) for _ in range(_CHANGES)]
    started = process_time()
    for one in ready:
        way.take(one)
    return 1e6 * (process_time() - started) / _CHANGES


@click.command()
@click.option("--services", "sizes", multiple=True, default=(100, 1_000, 10_000), help="Sizes of catalogs.")
@click.option("--instances", default=10, show_default=True, help="Instances of each service.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(sizes: tuple[int, ...], instances: int, *, as_json: bool) -> None:
    """Print microseconds of processor for each change."""
    result: dict[str, dict[int, float]] = {}
    for kind, (make, step) in KINDS.items():
        ways = {size: make(size, instances) for size in sizes}
        answers = {size: changes(way, (instances + step, instances)) for size, way in ways.items()}
        found: defaultdict[int, list[float]] = defaultdict(list)
        for _ in range(_ROUNDS + 1):
            for size, way in ways.items():
                found[size].append(microseconds(way, answers[size]))
        # The first round fills the window of the guards.
        result[kind] = {size: round(statistics.median(some[1:]), 1) for size, some in found.items()}
    if as_json:
        print(json.dumps({"microseconds": result, "instances": instances}))
        return
    print(f"{'microseconds a change':<42}" + "".join(f"{size:>9}" for size in sizes))
    for kind, times in result.items():
        print(f"{kind:<42}" + "".join(f"{one:>9.0f}" for one in times.values()))


if __name__ == "__main__":
    main()
