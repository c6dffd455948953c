import asyncio

import pytest

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


def test_a_bucket_that_was_drained_gives_out_its_rate_only() -> None:
    bucket = TokenBucket(burst=5, per_second=2)
    bucket.drain(100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0.5, 1.0, 1.5]
    bucket.drain(100.0)  # what was promised stays promised
    assert bucket.take(100.0) == 2.0


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
        async with slots.hold(0 if first else 1):
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
        async with slots.hold(1):
            done.append(name)

    holding = slots.hold(1)
    await holding.__aenter__()
    first, second = asyncio.create_task(use("first")), asyncio.create_task(use("second"))
    await asyncio.sleep(0)
    await holding.__aexit__(None, None, None)  # hands over to the first
    first.cancel()
    async with asyncio.timeout(1):
        await second
    assert done == ["second"]


async def test_places_can_become_more_and_fewer() -> None:
    slots = Slots(1)
    inside = 0
    go = asyncio.Event()

    async def use() -> None:
        nonlocal inside
        async with slots.hold(0):
            inside += 1
            await go.wait()
            inside -= 1

    tasks = [asyncio.create_task(use()) for _ in range(6)]
    await asyncio.sleep(0)
    assert inside == 1
    slots.resize(3)
    await asyncio.sleep(0)
    assert inside == 3
    slots.resize(2)
    tasks[0].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    inside -= 1
    assert inside == 2
    go.set()
    await asyncio.wait(tasks)
    assert inside == 0
