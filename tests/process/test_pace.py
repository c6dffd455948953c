"""Many changes in little time reach a client in few responses, a lone one at once (P35)."""

import asyncio
import time

import pytest

from tests.process.follower import Follower
from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.serving import sample, serving
from xds_server.model.catalog import Catalog
from xds_server.runtime.debounce import Pace


def responses(mode):
    return sum(
        sample("xds_responses_total", variant=mode, type=one) for one in ("Cluster", "ClusterLoadAssignment")
    )


def registered(count):
    """Give a catalog in which so many instances were registered, one after the other, 10 to a service."""
    return catalog(user=8000 + count, **{f"service-{number}": 9000 for number in range(count // 10)})


@pytest.mark.parametrize("mode", ["delta", pytest.param("sotw", marks=pytest.mark.slow)])
async def test_p35_a_thousand_registrations_in_five_seconds_are_few_pushes(mode, record_property):
    # Quieter than the default: a busy machine pauses this process itself for longer than that.
    inputs = Inputs(registered(0), pace=Pace(quiet=0.1))
    made = [registered(count) for count in range(1001)]
    async with serving(inputs) as server, Follower(server.port, mode, "user") as client:
        await eventually(lambda: client.ports == {8000})
        before = responses(mode)
        began = time.monotonic()
        for number, one in enumerate(made):
            inputs.catalog.publish(one)
            await asyncio.sleep(max(0.0, began + number * 0.005 - time.monotonic()))
        await eventually(lambda: client.ports == {9000})
        pushes = (responses(mode) - before) / 2
    record_property("pushes", pushes)
    # One at the beginning, one a second, one at the end; clusters and endpoints each.
    assert pushes <= 10


async def test_p35_a_lone_change_arrives_at_once(record_property):
    inputs = Inputs(registered(0), pace=Pace())
    took = []
    async with serving(inputs) as server, Follower(server.port, "delta", "user") as client:
        await eventually(lambda: client.ports == {8000})
        for number in range(1, 21):
            await asyncio.sleep(0.1)
            began = time.monotonic()
            inputs.catalog.publish(catalog(user=8000 + number))
            await eventually(lambda number=number: client.ports == {8000 + number}, every=0.001)
            took.append(time.monotonic() - began)
    record_property("worst_ms", round(1000 * max(took), 1))
    assert sorted(took)[-2] < 0.5


async def test_p35_in_a_burst_a_removal_waits_no_longer_than_anything_else():
    inputs = Inputs(catalog(user=8000, gone=9000), pace=Pace(quiet=0.05, at_most=0.5))
    async with serving(inputs) as server, Follower(server.port, "delta", "gone") as client:
        await eventually(lambda: client.ports == {9000})
        began = time.monotonic()
        removed: float | None = None
        for number in range(1, 400):
            empty = [] if number > 20 else [*catalog(gone=9000).services.values()]
            inputs.catalog.publish(
                Catalog.of("dc1", [*catalog(user=8000 + number).services.values(), *empty])
            )
            if number == 21:
                began = time.monotonic()
            await asyncio.sleep(0.01)
            if client.lost:
                removed = time.monotonic() - began
                break
    assert removed is not None
    assert removed < 2.0
