"""Many readers of one cell, all at once."""

import asyncio

import pytest

from xds_server.runtime.latest import Latest

READERS = 500
VALUES = 200


async def read_until(cell, last):
    return await anext(value async for value in cell.values() if value == last)


@pytest.mark.shows("T-CA-06")
async def test_no_wake_up_is_lost_among_readers_that_come_while_it_is_written():
    cell, readers = Latest(0), []
    for number in range(1, VALUES + 1):
        readers += [asyncio.create_task(read_until(cell, VALUES)) for _ in range(READERS // VALUES + 1)]
        cell.publish(number)
        if number % 3 == 0:
            await asyncio.sleep(0)

    async with asyncio.timeout(10):
        assert await asyncio.gather(*readers) == [VALUES] * len(readers)


@pytest.mark.shows("T-CA-05", "T-CA-09")
async def test_a_reader_that_is_cancelled_never_wakes_and_holds_up_nobody():
    cell, seen = Latest(1), []

    async def read():
        async for value in cell.values():
            seen.append(value)  # noqa: PERF401 - what was seen before it is cancelled counts

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)

    assert cell.publish(2)
    assert await read_until(cell, 2) == 2
    assert seen == [1]
