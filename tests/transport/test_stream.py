"""What one gRPC stream reads, and what ends it."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from tests.rig.eventually import eventually
from xds_server.transport.ending import CLIENT_DONE, End
from xds_server.transport.fanout import _AT_ONCE, FanOut
from xds_server.transport.flow import FlowLimits
from xds_server.transport.patience import Patience
from xds_server.transport.stream import Stream

ENDED = End(status=grpc.StatusCode.UNAVAILABLE, sentence="enough")
OTHER = End(status=grpc.StatusCode.INTERNAL, sentence="something else")


class Context:
    """What gRPC gives a handler; `says` is what the client says, and then it says nothing more."""

    def __init__(self, *says):
        self.says = list(says)

    async def read(self):
        if not self.says:
            await asyncio.Event().wait()
        return self.says.pop(0)


async def served(stream_of, *, begun=None):
    """Serve a stream until it ends, as a handler does; give the requests and the end."""
    stream, requests = stream_of(), []
    if begun is not None:
        begun.set_result(stream)
    try:
        while isinstance(read := await stream.read(), bytes):
            requests.append(read)
    except asyncio.CancelledError:
        if (end := stream.interrupted()) is None:
            raise
        return requests, end
    return requests, read


def over(*says, limits=None):
    return lambda: Stream(Context(*says), limits or FlowLimits(), bytes)


@asynccontextmanager
async def handling(*says):
    """Give a stream that is served in a task of its own, and the task."""
    begun = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(served(over(*says), begun=begun))
    yield await begun, task
    task.cancel()


async def test_requests_come_in_their_order_and_then_their_end():
    assert await served(over(b"1", b"2", grpc.aio.EOF)) == ([b"1", b"2"], CLIENT_DONE)


async def test_the_first_request_can_be_looked_at_before_it_is_read():
    stream = over(b"1", b"2")()
    assert [await stream.first(), await stream.read(), await stream.read()] == [b"1", b"1", b"2"]


async def test_an_end_goes_before_everything_and_the_first_one_counts():
    stream = over(b"1")()
    stream.end(ENDED)
    stream.end(OTHER)
    assert [await stream.first(), await stream.read()] == [ENDED, ENDED]


async def test_an_end_interrupts_who_waits_for_a_request():
    async with handling(b"1") as (stream, task):
        await asyncio.sleep(0)
        stream.end(ENDED)
        stream.end(OTHER)
        assert await task == ([b"1"], ENDED)
        # The task may go on and send the status.
        assert task.cancelling() == 0


async def test_an_end_leaves_who_does_something_else_alone():
    stream = over(b"1")()
    stream.end(ENDED)
    await asyncio.sleep(0)
    assert stream.interrupted() is None


async def test_who_is_cancelled_by_grpc_is_cancelled():
    async with handling() as (stream, task):
        await asyncio.sleep(0)
        stream.end(ENDED)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.shows("P-122")
async def test_who_talks_too_fast_is_read_more_slowly_and_can_be_ended_meanwhile():
    limits = FlowLimits(burst=2, rate=0.01)
    begun = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(served(over(b"1", b"2", b"3", b"4", limits=limits), begun=begun))
    stream = await begun
    await eventually(lambda: stream.context.says == [b"4"])
    stream.end(ENDED)
    assert await task == ([b"1", b"2"], ENDED)


async def test_a_write_that_nobody_takes_is_broken_off_and_those_that_end_are_not():
    patience, broken = Patience(0.05), []

    class Writing:
        def break_off(self, end):
            broken.append((self, end.sentence))

    taken, stuck, later = Writing(), Writing(), Writing()
    for one in (taken, stuck):
        patience.begin(one)
    patience.done(taken)
    patience.done(taken)
    await asyncio.sleep(0.02)
    patience.begin(later)
    await eventually(lambda: len(broken) == 2)
    assert broken == [(one, "the client took no response for 0.05 s") for one in (stuck, later)]
    # Once nothing is written, nothing is watched.
    assert patience._timer is None


async def test_a_stream_that_writes_is_broken_off_in_the_middle():
    async def stuck():
        stream = over()()
        Patience(0.01).begin(stream)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return stream.interrupted()

    assert (await asyncio.create_task(stuck())).status is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_many_that_are_due_leave_room_for_others_between_them():
    fan_out, order = FanOut(), []
    for number in range(2 * _AT_ONCE + 1):
        fan_out.add(lambda number=number: order.append(number))
    steps = []
    while len(order) < 2 * _AT_ONCE + 1:
        await asyncio.sleep(0)
        steps.append(len(order))
    assert order == list(range(2 * _AT_ONCE + 1))
    assert [step for step in steps if step] == [_AT_ONCE, 2 * _AT_ONCE, 2 * _AT_ONCE + 1]
    fan_out.add(lambda: order.append("more"))
    await asyncio.sleep(0)
    assert order[-1] == "more"
