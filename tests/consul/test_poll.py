"""The pace of one watch, against a client that answers as it is told."""

import asyncio
from typing import Any

import pytest

from xds_server.consul import poll as poll_module
from xds_server.consul.budget import Budget, Kind
from xds_server.consul.errors import Unreachable
from xds_server.consul.pace import TokenBucket
from xds_server.consul.poll import Poll
from xds_server.consul.query import Answer, Query, Reads


class Client:
    """Answers at once; a query that is not held takes `seconds`."""

    def __init__(self, body: bytes = b"[]", seconds: float = 0.0) -> None:
        self.asked: list[Query] = []
        self.fails = False
        self._body = body
        self._seconds = seconds

    async def ask(self, query: Query) -> Answer:
        self.asked.append(query)
        if self.fails:
            raise Unreachable("no")
        if not query.index:
            await asyncio.sleep(self._seconds)
        return Answer(index=len(self.asked), body=self._body)


def poll_of(client: Client, budget: Budget | None = None) -> Poll:
    made: Any = client
    return Poll(
        made,
        Query(segments=("v1", "a")),
        budget or Budget(connections=5, per_second=10_000),
        Kind.SERVICE,
        wait=60,
        bucket=TokenBucket(burst=10_000, per_second=10_000),
    )


async def times(poll: Poll, count: int) -> float:
    started = asyncio.get_running_loop().time()
    for _ in range(count):
        poll.used(await poll.ask())
    return asyncio.get_running_loop().time() - started


async def test_a_long_answer_takes_a_tenth_of_the_time_at_the_most() -> None:
    poll = poll_of(Client(b"x" * 200_000, 0.02))
    first = await times(poll, 1)
    assert await times(poll, 3) > 0.9 * 3 * 10 * 0.02
    assert first < 0.2


async def test_a_short_one_does_not_wait_however_long_it_took() -> None:
    poll = poll_of(Client(seconds=0.2))
    await times(poll, 1)
    assert await times(poll, 20) < 2


async def test_an_answer_that_is_hard_to_read_counts_as_well() -> None:
    poll = poll_of(Client())
    answer = await poll.ask()
    await asyncio.sleep(0.05)  # it is being read
    poll.used(answer)
    assert await times(poll, 1) > 0.4


async def test_the_leader_is_asked_where_it_has_to_be() -> None:
    client = Client()
    poll = poll_of(client)
    poll.used(await poll.ask())
    await poll.ask(Reads.CONSISTENT)
    poll.again()
    await poll.ask()
    assert [(one.index, one.reads) for one in client.asked] == [
        (0, Reads.DEFAULT),
        (1, Reads.CONSISTENT),
        (0, Reads.DEFAULT),
    ]


async def test_a_back_off_ends_when_consul_is_well_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_module, "backoff", lambda errors: 60.0)
    budget = Budget(connections=5, per_second=1000)
    poll = poll_of(Client(), budget)
    async with asyncio.timeout(5):
        await poll.failed(longest=0.01)
    resting = asyncio.create_task(poll.failed())
    await asyncio.sleep(0.01)
    assert not resting.done()
    budget.recovered()
    async with asyncio.timeout(5):
        await resting
    assert poll.errors == 2


async def test_a_probe_is_never_held() -> None:
    client = Client()
    budget = Budget(connections=5, per_second=1000)
    poll = poll_of(client, budget)
    poll.used(await poll.ask())
    for number in range(20):
        with pytest.raises(Unreachable):
            async with budget.query(number, Kind.SERVICE):
                raise Unreachable("no")
    await poll.ask()
    assert [one.index for one in client.asked] == [0, 0]
