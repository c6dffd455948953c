import asyncio

import pytest

from tests.rig.eventually import eventually
from xds_server.runtime.latest import Latest


async def read(cell, seen):
    async for value in cell.values():
        seen.append(value)


async def test_the_first_read_is_immediate():
    cell = Latest("now")

    assert cell.value == "now"
    assert await cell.get() == "now"
    assert await anext(cell.values()) == "now"


async def test_without_a_value_readers_wait_for_the_first():
    cell = Latest()
    getting = asyncio.create_task(cell.get())
    reading = asyncio.create_task(anext(cell.values()))
    await asyncio.sleep(0)
    assert not getting.done()
    assert not reading.done()

    cell.publish("first")

    assert (await getting, await reading) == ("first", "first")


async def test_an_equal_value_is_no_news():
    first, equal = ["a"], ["a"]
    cell, seen = Latest(), []
    reading = asyncio.create_task(read(cell, seen))
    assert cell.publish(first)
    await eventually(lambda: seen)

    assert not cell.publish(equal)

    assert cell.value is first
    await asyncio.sleep(0)
    assert seen == [["a"]]
    reading.cancel()


async def test_a_reader_that_keeps_up_sees_every_value():
    cell, seen = Latest(), []
    reading = asyncio.create_task(read(cell, seen))
    for number in range(10):
        cell.publish(number)
        await eventually(lambda number=number: seen[-1] == number)

    assert seen == list(range(10))
    reading.cancel()


@pytest.mark.shows("T-CA-09", "T-CA-16")
async def test_a_slow_reader_skips_to_the_newest_and_never_delays_the_writer():
    cell, fast, slow = Latest(), [], []
    gate = asyncio.Event()

    async def read_slowly():
        async for value in cell.values():
            slow.append(value)
            await gate.wait()

    readers = [asyncio.create_task(read(cell, fast)), asyncio.create_task(read_slowly())]
    for number in range(11):
        cell.publish(number)
        await eventually(lambda number=number: fast[-1:] == [number])
    assert slow == [0]

    gate.set()

    await eventually(lambda: slow[-1] == 10)
    assert slow == [0, 10]
    assert fast == list(range(11))
    for reader in readers:
        reader.cancel()


async def test_a_reader_that_comes_late_sees_the_newest_alone():
    cell = Latest()
    for number in range(5):
        cell.publish(number)

    assert await anext(cell.values()) == 4


@pytest.mark.shows("T-CA-06")
async def test_a_value_that_came_while_the_reader_was_busy_is_not_lost():
    cell = Latest(1)
    values = cell.values()
    assert await anext(values) == 1
    cell.publish(2)

    assert await anext(values) == 2
