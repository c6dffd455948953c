"""How the parts of one source ask: through one client, within one budget."""

from dataclasses import dataclass
from typing import Final

from xds_server.consul.budget import Budget, Kind
from xds_server.consul.client import ConsulClient
from xds_server.consul.options import WatchOptions
from xds_server.consul.pace import TokenBucket
from xds_server.consul.poll import Poll
from xds_server.consul.query import Answer, Query, Reads

_WIDE_FASTER: Final = 5
_LIST_WAIT: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Gives long polls, and answers to queries that are not held."""

    client: ConsulClient
    budget: Budget
    options: WatchOptions

    def poll(self, *segments: str, kind: Kind) -> Poll:
        """Give a watch of a path, read as the settings say."""
        options = self.options
        return Poll(
            self.client,
            Query(
                segments=segments,
                reads=Reads.STALE if options.stale else Reads.DEFAULT,
                # A list that is old would tell nothing; Consul caches no other wide answer either.
                cached=options.cached and kind is Kind.SERVICE,
                max_age=options.max_age,
            ),
            self.budget,
            kind,
            # It tells whether Consul answers at all, so it is not held for long.
            wait=min(options.wait, _LIST_WAIT) if kind is Kind.LIST else options.wait,
            bucket=self._bucket(kind),
        )

    def _bucket(self, kind: Kind) -> TokenBucket:
        """Give the pace of a watch. One of all services stands for many, so it may go on faster."""
        faster = _WIDE_FASTER if kind is Kind.WIDE else 1
        options = self.options
        return TokenBucket(burst=faster * options.burst, per_second=faster * options.per_second)

    async def read(self, *segments: str, kind: Kind, reads: Reads) -> Answer:
        """Ask once, and have it answered at once. Raises ConsulError."""
        query = Query(segments=segments, reads=reads)
        async with self.budget.query(query, kind):
            return await self.client.ask(query)
