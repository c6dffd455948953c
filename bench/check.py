"""What the checks before sending cost, beside the encoding of the same resources.

    python -m bench.check [--services 1000 --services 10000] [--instances 5]

First one assignment of 10 to 10,000 endpoints: encoded, checked for the first time, and checked when all but
one endpoint were seen before. Then every resource of a catalog, by type, checked for the first time; and the
catalog as a whole, translated and built with the checks and without them, and built again after one change.
"""

from collections.abc import Callable
from dataclasses import replace
from time import process_time
from typing import Final
from unittest.mock import patch

import click

from xds_server.model.catalog import Catalog, Instance, Service, Status
from xds_server.model.policy import Policy
from xds_server.model.proxy import Group
from xds_server.model.secret import Secrets
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.snapshot.check import Checked, check, endpoints, fields, routes
from xds_server.translate import Draft, Translator

_SIZES: Final = (10, 100, 1_000, 10_000)
_TRIALS: Final = 5
_ALIVE: Final = (Status.PASSING,)


def service(name: str, instances: int, seed: int) -> Service:
    """Give a service with so many instances, whose addresses follow from the seed."""
    found = []
    for number in range(instances):
        low = seed * instances + number
        address = f"10.{low >> 16 & 255}.{low >> 8 & 255}.{low & 255}"
        found.append(
            Instance(node=f"n{number}", id=f"{name}-{number}", address=address, port=8080, statuses=_ALIVE)
        )
    return Service.of(name, found)


def catalog(services: int, instances: int) -> Catalog:
    """Give a catalog of services with instances of their own."""
    return Catalog.of(
        "dc1", (service(f"service-{number:05}", instances, number) for number in range(services))
    )


def forget() -> None:
    """Forget what was checked before."""
    endpoints._fault.cache_clear()  # noqa: SLF001
    fields._remembered.cache_clear()  # noqa: SLF001
    routes._remembered.cache_clear()  # noqa: SLF001


def milliseconds(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Give the least time of a few trials."""
    times = []
    for _ in range(_TRIALS):
        before()
        started = process_time()
        work()
        times.append(1000 * (process_time() - started))
    return min(times)


def drafts_of(found: Catalog) -> dict[TypeUrl, Table[Draft]]:
    """Translate a catalog."""
    return dict(Translator(Group()).translate(found, Policy(), Secrets()).drafts)


def assignments() -> None:
    """Measure one assignment by its size."""
    print(f"{'endpoints':>10} {'encode':>9} {'check':>9} {'again':>9} {'ratio':>6}   ms")
    for size in _SIZES:
        one = Catalog.of("dc1", [service("user", size, 1)])
        (made,) = drafts_of(one)[TypeUrl.ENDPOINTS].values()
        encode = milliseconds(lambda one=one: drafts_of(one))
        first = milliseconds(lambda made=made: check(made), before=forget)
        again = milliseconds(lambda made=made: check(made))
        print(f"{size:>10} {encode:>9.2f} {first:>9.2f} {again:>9.2f} {first / encode:>6.2f}")


def whole(services: int, instances: int) -> None:
    """Measure a catalog: each type, and all of it with the checks and without."""
    found = catalog(services, instances)
    drafts = drafts_of(found)
    print(f"\n{services} services x {instances}")
    for type_url, made in drafts.items():
        forget()
        started = process_time()
        complaints = [one for draft in made.values() for one in check(draft).complaints]
        spent = 1000 * (process_time() - started)
        print(
            f"  {type_url.short:<24}{len(made):>7} checked in {spent:8.1f} ms, {len(complaints)} complaints"
        )
    first, built = _built(found)
    print(f"  translated and built with checks {first:8.1f} ms")
    without, _ = _built(found, checked=False)
    print(f"  translated and built without     {without:8.1f} ms")
    fresh = service("service-00000", instances, services + 1)
    changed = replace(found, services=found.services.changed({fresh.name: fresh}))
    drafts = drafts_of(changed)
    after = milliseconds(lambda: build(drafts, (), built))
    print(f"  built again, one changed         {after:8.1f} ms")


def _built(found: Catalog, *, checked: bool = True) -> tuple[float, Snapshot]:
    forget()
    stub = patch(
        "xds_server.snapshot.build.check", check if checked else lambda draft, _: Checked(draft=draft)
    )
    with stub:
        started = process_time()
        snapshot = build(drafts_of(found), (), EMPTY)
        return 1000 * (process_time() - started), snapshot


@click.command()
@click.option("--services", multiple=True, default=(1_000, 10_000), help="Sizes of catalogs.")
@click.option("--instances", default=5, help="Instances of each service.")
def main(services: tuple[int, ...], instances: int) -> None:
    """Print what the checks cost."""
    assignments()
    for size in services:
        whole(size, instances)


if __name__ == "__main__":
    main()
