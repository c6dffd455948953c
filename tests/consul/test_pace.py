import asyncio
import math

import pytest

from xds_server.consul import pace
from xds_server.consul.pace import Slots, TokenBucket, backoff, next_index


@pytest.mark.parametrize(
    ("asked", "answered", "then"),
    [
        (0, 5, 5),
        (5, 9, 9),
        (5, 5, 5),
        (9, 5, 0),  # backwards: a restored or a new server
        (0, 0, 1),  # never 0, which would not block
        (5, 0, 1),
        (1, 0, 1),
        (5, -3, 1),
    ],
)
def test_next_index(asked: int, answered: int, then: int) -> None:
    assert next_index(asked, answered) == then


def test_a_burst_goes_through_and_a_storm_does_not() -> None:
    bucket = TokenBucket(burst=5, per_second=2)
    assert [bucket.take(100.0) for _ in range(8)] == [0, 0, 0, 0, 0, 0.5, 1.0, 1.5]
    assert bucket.take(200.0) == 0


def test_back_off_grows_to_its_bound() -> None:
    for errors, longest in [(1, 0.2), (2, 0.4), (5, 3.2), (9, 30), (10_000, 30)]:
        delays = {backoff(errors) for _ in range(50)}
        assert longest / 2 <= min(delays)
        assert max(delays) <= longest
        assert len(delays) > 1


async def test_a_first_read_goes_before_polls_and_a_cancelled_one_frees_its_place() -> None:
    slots = Slots(1)
    order: list[str] = []
    release = asyncio.Event()

    async def use(name: str, *, first: bool) -> None:
        async with slots.hold(first=first):
            order.append(name)
            await release.wait()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(use(name, first=name.startswith("read")))
            for name in ("poll 1", "poll 2", "poll 3", "read 1", "read 2")
        ]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        release.set()
    assert order == ["poll 1", "read 1", "read 2", "poll 3"]


async def test_a_turn_handed_over_to_a_cancelled_task_goes_to_the_next() -> None:
    slots = Slots(1)
    done: list[str] = []

    async def use(name: str) -> None:
        async with slots.hold(first=False):
            done.append(name)

    holding = slots.hold(first=False)
    await holding.__aenter__()
    first, second = asyncio.create_task(use("first")), asyncio.create_task(use("second"))
    await asyncio.sleep(0)
    await holding.__aexit__(None, None, None)  # hands over to the first
    first.cancel()
    async with asyncio.timeout(1):
        await second
    assert done == ["second"]


async def test_turns_are_short_only_when_connections_are_short() -> None:
    slots = Slots(10)
    slots.expect(10)
    assert slots.turn == math.inf
    slots.expect(20)
    assert slots.turn == 5
    slots.expect(10_000)
    assert slots.turn == 1


async def test_polls_held_without_an_end_end_when_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_SHORTEST_TURN", 0.01)
    monkeypatch.setattr(pace, "_ROTATION", 0.01)
    slots = Slots(1)
    holding = asyncio.Event()

    async def hold() -> None:
        async with slots.hold(first=False):
            holding.set()
            await asyncio.sleep(60)

    held = asyncio.create_task(hold())
    await holding.wait()
    slots.expect(2)
    await asyncio.wait({held}, timeout=5)
    assert held.done()
    assert isinstance(held.exception(), TimeoutError)
    async with asyncio.timeout(1), slots.hold(first=False):
        pass
