"""How long a push takes until its ACK, with one real Envoy.

    python -m bench.ack [--trials 200] [--services 100] [--mode delta --mode sotw]

The server runs in this process, the Envoy beside it, on loopback. The clock starts when a new catalog or
policy is published and stops when the server has taken Envoy's ACK: translation, snapshot, encoding, both
ways over gRPC and Envoy's own work are all in it. The changes, each `--pause` seconds after the one before:

    endpoint   an instance moves to another port      until the ACK of EDS
    cluster    a service's connect timeout changes    until the ACK of CDS
    service    a service joins the catalog            until the ACK of RDS, so it can be called
"""

import asyncio
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Final

import click

from bench import catalogs
from bench.acks import Acks
from bench.times import Times
from tests.rig.envoy import Envoy
from tests.runtime.inputs import Inputs
from tests.transport.serving import serving
from xds_server.model.catalog import Service
from xds_server.model.policy import ServicePolicy
from xds_server.model.types import TypeUrl
from xds_server.runtime.debounce import Pace

_PATIENCE: Final = 10.0
_CHANGING: Final = catalogs.names(1)[0]


class _Fed:
    """The inputs of the pipeline, and what changes in them; no trial does what the one before did."""

    def __init__(self, services: int) -> None:
        self._catalog = catalogs.catalog(services)
        self._policy = catalogs.policy()
        self.inputs = Inputs(self._catalog, Pace())
        self.inputs.policy.publish(self._policy)

    def move(self, trial: int) -> None:
        self._serve(catalogs.service(_CHANGING, first_port=10 + trial % 2))

    def retime(self, trial: int) -> None:
        changed = MappingProxyType({_CHANGING: ServicePolicy(connect_timeout=1.0 + trial % 2)})
        self.inputs.policy.publish(replace(self._policy, services=changed))

    def join(self, trial: int) -> None:
        fresh = catalogs.service(f"joined-{trial:04}")
        self.inputs.catalog.publish(catalogs.with_service(self._catalog, fresh))

    def leave(self) -> bool:
        """Take back what joined; tell whether anything did."""
        return self.inputs.catalog.publish(self._catalog)

    def _serve(self, service: Service) -> None:
        self._catalog = catalogs.with_service(self._catalog, service)
        self.inputs.catalog.publish(self._catalog)


_Change = Callable[[_Fed, int], None]

# What is changed, and the type whose ACK stops the clock.
_CHANGES: Final[dict[str, tuple[_Change, TypeUrl]]] = {
    "endpoint": (_Fed.move, TypeUrl.ENDPOINTS),
    "cluster": (_Fed.retime, TypeUrl.CLUSTER),
    "service": (_Fed.join, TypeUrl.ROUTES),
}


async def measure(mode: str, services: int, trials: int, pause: float) -> dict[str, Times]:
    """Run the trials of one variant; give the times of each kind of change."""
    fed = _Fed(services)
    with tempfile.TemporaryDirectory() as directory, Acks() as acks:
        async with (
            serving(fed.inputs) as server,
            Envoy(Path(directory), servers=[("127.0.0.1", server.port)], mode=mode),
        ):
            return {
                name: Times.of([await _trial(fed, acks, change, number, pause) for number in range(trials)])
                for name, change in _CHANGES.items()
            }


async def _trial(fed: _Fed, acks: Acks, change: tuple[_Change, TypeUrl], number: int, pause: float) -> float:
    # At no fixed beat, so that no timer of anybody's is always met at the same phase.
    await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
    make, until = change
    taken = acks.next(until)
    started = perf_counter()
    make(fed, number)
    async with asyncio.timeout(_PATIENCE):
        await taken
        milliseconds = 1000 * (perf_counter() - started)
        await _leave(fed, acks)
    return milliseconds


async def _leave(fed: _Fed, acks: Acks) -> None:
    # The cluster is the last to go (P-094).
    gone = acks.next(TypeUrl.CLUSTER)
    if fed.leave():
        await gone


@click.command()
@click.option(
    "--trials", default=200, show_default=True, type=click.IntRange(1, 1000), help="Changes of a kind."
)
@click.option("--services", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--mode", "modes", multiple=True, default=("delta", "sotw"), show_default=True)
@click.option("--pause", default=0.15, show_default=True, help="Seconds between changes.")
def main(trials: int, services: int, modes: tuple[str, ...], pause: float) -> None:
    """Measure how long a push takes until its ACK, and print the figures."""
    print(f"{'variant':<8}{'change':<10}{'trials':>7}{'median':>9}{'p99':>9}{'slowest':>9}  (ms)")
    for mode in modes:
        for name, times in asyncio.run(measure(mode, services, trials, pause)).items():
            figures = f"{times.median:>9.2f}{times.p99:>9.2f}{times.most:>9.2f}"
            print(f"{mode:<8}{name:<10}{times.trials:>7}{figures}", flush=True)
    print(f"{services} services, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
