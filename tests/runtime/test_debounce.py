import asyncio

import pytest

from tests.runtime.clock import run
from xds_server.runtime.debounce import Pace, bursts

PACE = Pace(quiet=1.0, at_most=10.0)


def acts(*changes, until=100.0, busy=0.0):
    """Give the times at which it is acted on changes at these times; acting takes `busy` seconds."""

    async def play():
        loop, changed, acted = asyncio.get_running_loop(), asyncio.Event(), []

        async def act():
            async for _ in bursts(changed, PACE):
                acted.append(round(loop.time(), 3))
                await asyncio.sleep(busy)

        acting = asyncio.create_task(act())
        for time in changes:
            loop.call_at(time, changed.set)
        await asyncio.sleep(until)
        acting.cancel()
        return acted

    return run(play())


@pytest.mark.shows("P-118", "T-CA-17")
def test_a_lone_change_is_acted_on_at_once():
    assert acts(5.0) == [5.0]


@pytest.mark.shows("T-CA-17")
def test_changes_far_apart_are_all_acted_on_at_once():
    assert acts(5.0, 6.5, 20.0) == [5.0, 6.5, 20.0]


@pytest.mark.shows("P-118", "T-CA-17")
def test_a_burst_is_acted_on_at_its_beginning_and_when_it_is_quiet():
    assert acts(5.0, 5.1, 5.2, 5.3) == [5.0, 6.3]


@pytest.mark.shows("P-118", "T-CA-17")
@pytest.mark.case(17)
def test_a_burst_that_does_not_end_is_acted_on_after_the_bound():
    changes = [5.0 + 0.5 * number for number in range(60)]

    assert acts(*changes) == [5.0, 15.5, 25.5, 35.5]


def test_without_a_change_nothing_is_done():
    assert acts() == []


@pytest.mark.shows("T-CA-17")
def test_a_change_while_it_is_acted_is_not_lost():
    assert acts(5.0, 5.5, busy=3.0) == [5.0, 9.0]


def test_after_a_burst_it_is_at_once_again():
    assert acts(5.0, 5.1, 30.0) == [5.0, 6.1, 30.0]
