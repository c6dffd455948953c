import asyncio

import grpc
import pytest

from tests.protocol.resources import service, snapshot
from xds_server.runtime.latest import Latest
from xds_server.transport.ending import CLIENT_DONE, End
from xds_server.transport.inbox import _ROOM, HEARTBEAT, Inbox

ENDED = End(status=grpc.StatusCode.UNAVAILABLE, sentence="enough")


def requests(*payloads):
    """Give what reads these, one by one, and then the end."""
    left = [*payloads, grpc.aio.EOF]

    async def read():
        return left.pop(0)

    return read


@pytest.fixture
async def following():
    """Let an inbox follow a cell."""
    tasks = []

    async def follow(inbox, cell):
        tasks.append(asyncio.create_task(inbox.follow(cell)))
        await asyncio.sleep(0)

    yield follow
    for task in tasks:
        task.cancel()


async def test_requests_come_in_their_order_and_then_their_end():
    inbox = Inbox()
    await inbox.receive(requests(b"1", b"2"))

    assert [await inbox.get() for _ in range(3)] == [b"1", b"2", CLIENT_DONE]


@pytest.mark.shows("P-095")
async def test_a_request_goes_before_a_push_and_a_push_before_a_heartbeat(following):
    inbox, cell = Inbox(), Latest(snapshot(service("user")))
    inbox.beat()
    await following(inbox, cell)
    await inbox.receive(requests(b"1"))

    assert [await inbox.get() for _ in range(4)] == [b"1", CLIENT_DONE, cell.value, HEARTBEAT]


async def test_only_the_newest_snapshot_waits(following):
    inbox, cell = Inbox(), Latest(snapshot(service("user")))
    await following(inbox, cell)
    cell.publish(snapshot(service("user", "2")))
    await asyncio.sleep(0)

    assert await inbox.get() is cell.value
    assert inbox._take() is None


async def test_an_end_goes_before_everything_and_the_first_one_counts():
    inbox = Inbox()
    await inbox.receive(requests(b"1"))
    inbox.end(ENDED)
    inbox.end(End(status=grpc.StatusCode.OK))

    assert [await inbox.first(), await inbox.get()] == [ENDED, ENDED]


async def test_the_first_request_can_be_looked_at_before_it_is_taken():
    inbox = Inbox()
    await inbox.receive(requests(b"1", b"2"))

    assert [await inbox.first(), await inbox.get(), await inbox.get()] == [b"1", b"1", b"2"]


async def test_a_client_that_says_more_than_is_taken_has_to_wait():
    said = 0

    async def flood():
        nonlocal said
        said += 1
        return b"x"

    inbox = Inbox()
    flooding = asyncio.create_task(inbox.receive(flood))
    await asyncio.sleep(0.01)
    assert said == _ROOM + 1
    await inbox.get()
    await asyncio.sleep(0.01)
    assert said == _ROOM + 2
    flooding.cancel()


async def test_who_waits_is_woken_by_whatever_comes(following):
    for fill, item in (
        (lambda inbox: inbox.beat(), HEARTBEAT),
        (lambda inbox: inbox.end(ENDED), ENDED),
        (lambda inbox: inbox._put(b"1"), b"1"),
    ):
        inbox = Inbox()
        waiting = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        fill(inbox)
        async with asyncio.timeout(1):
            assert await waiting == item
