"""One watch: the same question again and again, by the rules of blocking queries.

https://developer.hashicorp.com/consul/api-docs/features/blocking
"""

import asyncio
from contextlib import nullcontext
from typing import Final

from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import ConsulError, Cut
from xds_server.consul.pace import Slots, TokenBucket, backoff, next_index
from xds_server.consul.query import Answer, Query
from xds_server.telemetry import CONSUL_QUERIES, CONSUL_WATCHES

# A cut sooner than this is a failure, later it is somebody's write timeout.
_CUT_SECONDS: Final = 1.0
_SAME_CUT: Final = 0.1
# Of the time after which polls are cut: low enough if the HTTP client tried twice in that time.
_BELOW_CUT: Final = 0.4


class Poll:
    """Asks for one path; the index moves only when the caller says that it used the answer.

        answer = await poll.ask()
        poll.used(answer)  or  await poll.failed()

    The connections are shared with the other polls of `slots`. A poll is one task's.
    """

    def __init__(
        self,
        client: ConsulClient,
        query: Query,
        *,
        wait: float,
        bucket: TokenBucket,
        slots: Slots,
    ) -> None:
        self._client = client
        self._question = query
        self._wait = wait
        self._bucket = bucket
        self._slots = slots
        self._index = 0
        self._cut_after = 0.0
        self.errors = 0

    async def ask(self) -> Answer:
        """Give the next answer. Raises ConsulError."""
        loop = asyncio.get_running_loop()
        while True:
            if (delay := self._bucket.take(loop.time())) > 0:
                await asyncio.sleep(delay)
            started = loop.time()
            try:
                async with self._slots.hold(first=self._index == 0):
                    started = loop.time()
                    return await self._query()
            except TimeoutError:
                continue  # others need the connection, and the index has not moved
            except Cut:
                if not self._tolerates(loop.time() - started):
                    raise
                self._index = 0

    def used(self, answer: Answer) -> None:
        """Go on from an answer that was used."""
        self._index = next_index(self._index, answer.index)
        self.errors = 0

    async def failed(self) -> None:
        """Begin again after an error or an answer that was not used, and wait the back-off."""
        self._index = 0
        self.errors += 1
        await asyncio.sleep(backoff(self.errors))

    async def _query(self) -> Answer:
        wait = min(self._wait, self._slots.turn)
        open_polls = CONSUL_WATCHES.track_inprogress() if self._index else nullcontext()
        try:
            with open_polls:
                answer = await self._client.ask(self._question.at(self._index, wait))
        except ConsulError as error:
            CONSUL_QUERIES.labels(result=type(error).__name__.lower()).inc()
            raise
        CONSUL_QUERIES.labels(result="ok").inc()
        return answer

    def _tolerates(self, after: float) -> bool:
        """Tell whether a cut is no failure: a poll that was held for a while, without errors before it.

        Twice after the same time means that something cuts long polls (consul#23267, balancers), and the
        next ones are made shorter.
        """
        if self._index == 0 or after < _CUT_SECONDS:
            return False
        if abs(after - self._cut_after) <= _SAME_CUT * after:
            self._wait = max(_CUT_SECONDS, after * _BELOW_CUT)
        self._cut_after = after
        return True
