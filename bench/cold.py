"""What a start from nothing costs: from Consul's answers to the first snapshot, stage by stage.

    python -m bench.cold [--services 1000 --services 10000] [--instances 10] [--lines 12]

Every size runs in a process of its own, three times: the least CPU time counts. Memory is the growth of the
resident set from before the stage to after it, with what nobody holds any more given back. With `--lines`
the lines of code are listed that allocated what is still held at the end. There is no listener, as a route
table is measured elsewhere, unless `--routes` asks for it.
"""

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time
from typing import Any, Final

import click
import msgspec

from bench.resident import resident
from xds_server.consul.decode import decode_service
from xds_server.model.catalog import Catalog, Service
from xds_server.model.policy import DEFAULT_LISTENER, Policy
from xds_server.model.proxy import Group
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.runtime.garbage import YOUNG
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Translation, Translator

_TRIALS: Final = 3
_NODES: Final = 500


def answer(name: str, seed: int, instances: int) -> bytes:
    """Give what Consul answers to `/v1/health/service/<name>`, with addresses that follow from the seed."""
    return msgspec.json.encode([_row(name, seed * instances + number) for number in range(instances)])


def _row(name: str, number: int) -> dict[str, Any]:
    node, low = f"node-{number % _NODES:03}", number + 1
    return {
        "Node": {
            "Node": node,
            "Address": f"10.255.{number % _NODES >> 8}.{number % _NODES & 255}",
            "Datacenter": "dc1",
            "Meta": {"consul-network-segment": "", "zone": f"zone-{number % 3}"},
            "TaggedAddresses": {"lan": "10.0.0.1", "wan": "10.0.0.1"},
        },
        "Service": {
            "ID": f"{name}-{number}",
            "Service": name,
            "Tags": ["http", "production"],
            "Address": f"10.{low >> 16 & 255}.{low >> 8 & 255}.{low & 255}",
            "Meta": {"version": "1.4.2"},
            "Port": 8080,
            "Weights": {"Passing": 1, "Warning": 1},
            "CreateIndex": number + 100,
            "ModifyIndex": number + 100,
        },
        "Checks": [
            {"Node": node, "CheckID": "serfHealth", "Status": "passing"},
            {"Node": node, "CheckID": f"service:{name}-{number}", "Status": "passing"},
        ],
    }


def _catalog(services: int, instances: int) -> Catalog:
    return Catalog.of("dc1", _decoded(services, instances))


def _decoded(services: int, instances: int) -> Iterator[Service]:
    for number in range(services):
        name = f"service-{number:05}"
        yield decode_service(name, answer(name, number, instances), "dc1").service


@dataclass(slots=True)
class _Stages:
    """CPU seconds, and bytes that stayed, by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        before = resident()
        start = process_time()
        yield
        self.seconds[name] = process_time() - start
        self.kept[name] = resident() - before


def _versions(snapshot: Snapshot) -> int:
    return sum(len(snapshot.sets[type_url].version) for type_url in TypeUrl)


def _run(services: int, instances: int, routes: bool) -> dict[str, Any]:
    """Go through the stages once, and give what they took."""
    policy = Policy(listeners=(DEFAULT_LISTENER,) if routes else ())
    # As the server sets the collector: with Python's own 700 it takes a fifth of the time at 10,000 services.
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    # What is imported and made once is no part of any stage.
    _served(Translator(Group()), _catalog(1, 1), policy)
    start, stages, translator = resident(), _Stages(), Translator(Group())
    with stages.stage("decode"):
        catalog = _catalog(services, instances)
    with stages.stage("translate"):
        translation = translator.translate(catalog, policy, Secrets())
    with stages.stage("build"):
        snapshot = build(translation.drafts, translation.problems, EMPTY, translation.derived)
    with stages.stage("versions"):
        _versions(snapshot)
    assert not snapshot.problems, snapshot.problems[:3]  # noqa: S101 - or something else is measured
    sizes = {
        type_url.short: sum(len(one.packed) for one in entries.by_name.values())
        for type_url, entries in snapshot.sets.items()
        if entries.by_name
    }
    return {"seconds": stages.seconds, "kept": stages.kept, "start": start, "sizes": sizes}


def _served(translator: Translator, catalog: Catalog, policy: Policy) -> tuple[Translation, Snapshot]:
    translation = translator.translate(catalog, policy, Secrets())
    return translation, build(translation.drafts, translation.problems, EMPTY, translation.derived)


def _lines(services: int, instances: int, count: int) -> Iterator[str]:
    """Tell which lines allocated what is held at the end, as bytes for each endpoint."""
    policy, translator = Policy(listeners=()), Translator(Group())
    _served(Translator(Group()), _catalog(1, 1), policy)
    tracemalloc.start()
    catalog = _catalog(services, instances)
    held = _served(translator, catalog, policy)
    gc.collect()
    found = tracemalloc.take_snapshot().statistics("lineno")
    del held
    yield f"{'all':60}{sum(one.size for one in found) / services / instances:8.1f}"
    for one in found[:count]:
        frame = one.traceback[0]
        place = f"{frame.filename.partition('xds_server/')[2] or frame.filename[-40:]}:{frame.lineno}"
        yield f"{place:60}{one.size / services / instances:8.1f}{one.count / services / instances:8.2f}"


def _in_child(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.cold", "--child", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, timeout=170)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _least(runs: list[dict[str, Any]], what: str) -> dict[str, float]:
    return {stage: min(run[what][stage] for run in runs) for stage in runs[0][what]}


def _told(services: int, instances: int, runs: list[dict[str, Any]]) -> Iterator[str]:
    seconds, kept = _least(runs, "seconds"), _least(runs, "kept")
    start = min(run["start"] for run in runs)
    endpoints = services * instances
    yield f"\n{services} services x {instances}"
    yield f"{'stage':12}{'CPU ms':>10}{'us/service':>12}{'MB kept':>10}{'B/endpoint':>12}"
    for stage, took in seconds.items():
        mb, each = kept[stage] / 1e6, kept[stage] / endpoints
        yield f"{stage:12}{1e3 * took:10.0f}{1e6 * took / services:12.1f}{mb:10.1f}{each:12.0f}"
    total = sum(took for stage, took in seconds.items() if stage != "decode")
    held = sum(kept.values())
    yield f"{'to snapshot':12}{1e3 * total:10.0f}{1e6 * total / services:12.1f}"
    yield f"{'memory':12}{'':22}{held / 1e6:10.1f}{held / endpoints:12.0f}"
    yield f"resident in all {(start + held) / 1e6:.0f} MB; resources {runs[0]['sizes']}"


@click.command(help=__doc__)
@click.option("--services", "sizes", multiple=True, type=int, default=(1_000, 10_000))
@click.option("--instances", default=10)
@click.option("--lines", default=0, help="How many lines of code to list by what they hold.")
@click.option("--routes", is_flag=True, help="With the default listener and its routes.")
@click.option("--trials", default=_TRIALS)
@click.option("--child", is_flag=True, hidden=True)
def main(
    sizes: tuple[int, ...], instances: int, lines: int, trials: int, *, routes: bool, child: bool
) -> None:
    """Measure each size, or with `--child` one of them once."""
    if child:
        click.echo(json.dumps(_run(sizes[0], instances, routes)))
        return
    for services in sizes:
        arguments = ["--services", str(services), "--instances", str(instances)]
        arguments += ["--routes"] if routes else []
        runs = [_in_child(*arguments) for _ in range(trials)]
        click.echo("\n".join(_told(services, instances, runs)))
        if lines:
            click.echo("\n".join(_lines(services, instances, lines)))


if __name__ == "__main__":
    main()
