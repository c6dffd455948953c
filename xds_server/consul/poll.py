"""One watch: the same question again and again, by the rules of blocking queries.

https://developer.hashicorp.com/consul/api-docs/features/blocking

A poll that has begun is never called off while its watch goes on: Consul does not notice, and counts the
connection until the wait is over.
"""

import asyncio
import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Final

from xds_server.consul.budget import Budget, Kind, Permit
from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import Cut
from xds_server.consul.pace import CUT_SECONDS, TokenBucket, backoff, next_index
from xds_server.consul.query import Answer, Query, Reads
from xds_server.telemetry import CONSUL_WATCHES

_SAME_CUT: Final = 0.1
# Of the time after which polls are cut: low enough if the HTTP client tried twice in that time.
_BELOW_CUT: Final = 0.4
# One question may take a tenth of the time of those who answer and read it.
_SHARE: Final = 10.0
_LONGEST_PAUSE: Final = 10.0
# What an answer costs, in seconds a byte: as a rule; at the most, as a measurement may meet a busy moment;
# and from how many bytes on the time says more of them than of the way there.
_BYTE_SECONDS: Final = 4e-8
_MOST_BYTE_SECONDS: Final = 1e-6
_TELLING_BYTES: Final = 65_536


class Poll:
    """Asks one question; the index moves only when the caller says that it used the answer.

        answer = await poll.ask()
        poll.used(answer)  or  await poll.failed()

    `wait` is how long Consul may hold a query, in seconds. `bucket` is the pace of this question, besides
    that of all in `budget`; an answer that takes long to make is asked for more seldom still. A poll is one
    task's.
    """

    def __init__(
        self,
        client: ConsulClient,
        query: Query,
        budget: Budget,
        kind: Kind,
        *,
        wait: float,
        bucket: TokenBucket,
    ) -> None:
        self._client = client
        self._question = query
        self._budget = budget
        self._kind = kind
        self._wait = wait
        self._bucket = bucket
        self._index = 0
        self._cut_after = 0.0
        self._byte_seconds = _BYTE_SECONDS
        self._answered = 0.0
        self._rest_until = 0.0
        self.errors = 0

    async def ask(self, reads: Reads | None = None) -> Answer:
        """Give the next answer; `reads` is who has to give it, if not whom the question names.

        Raises ConsulError.
        """
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            if (delay := max(self._bucket.take(now), self._rest_until - now)) > 0:
                await asyncio.sleep(delay)
            started = loop.time()
            try:
                async with self._budget.query(self._question, self._kind) as permit:
                    started = loop.time()
                    return await self._query(permit, reads)
            except Cut:
                if not self._tolerates(loop.time() - started):
                    raise
                self._index = 0

    def used(self, answer: Answer) -> None:
        """Go on from an answer that was used, once it has not taken more than its share of the time."""
        self._index = next_index(self._index, answer.index)
        self.errors = 0
        now = asyncio.get_running_loop().time()
        taken = self._byte_seconds * len(answer.body) + now - self._answered
        self._rest_until = now + min(_LONGEST_PAUSE, _SHARE * taken)

    async def failed(self, longest: float = math.inf) -> None:
        """Begin again after an error or an answer that was not used.

        Waits the back-off, `longest` seconds at the most, and no longer than until Consul is well again.
        """
        self._index = 0
        self.errors += 1
        await self._budget.rest(min(longest, backoff(self.errors)))

    def again(self) -> None:
        """Begin again at once: the answer was not used, as somebody else has to give it."""
        self._index = 0

    async def _query(self, permit: Permit, reads: Reads | None) -> Answer:
        if permit.probe:
            self._index = 0
        question = self._question if reads is None else replace(self._question, reads=reads)
        started = asyncio.get_running_loop().time()
        with CONSUL_WATCHES.track_inprogress() if self._index else nullcontext():
            answer = await self._client.ask(question.at(self._index, self._wait))
        self._answered = asyncio.get_running_loop().time()
        size = len(answer.body)
        if not self._index and size >= _TELLING_BYTES:
            # Only a query that is not held back shows how long its answer takes to make.
            self._byte_seconds = min(_MOST_BYTE_SECONDS, (self._answered - started) / size)
        return answer

    def _tolerates(self, after: float) -> bool:
        """Tell whether a cut is no failure: a poll that was held for a while, without errors before it.

        Twice after the same time means that something cuts long polls (consul#23267, balancers), and the
        next ones are made shorter.
        """
        if self._index == 0 or after < CUT_SECONDS:
            return False
        if abs(after - self._cut_after) <= _SAME_CUT * after:
            self._wait = max(CUT_SECONDS, after * _BELOW_CUT)
        self._cut_after = after
        return True
