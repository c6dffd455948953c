"""What is due is read, the most urgent first, by as many at once as run it."""

import asyncio
from collections.abc import Awaitable, Callable

from xds_server.consul.due import Due, Why
from xds_server.consul.pace import backoff


class DueReads:
    """Reads what is due in `due` by `read(name, why)`; after a bug there the name comes again."""

    def __init__(self, read: Callable[[str, Why], Awaitable[None]]) -> None:
        self.due = Due()
        self._read = read
        self._put = asyncio.Event()

    def put(self, name: str, why: Why) -> None:
        """Make a name due now."""
        self.due.put(name, why, asyncio.get_running_loop().time())
        self._put.set()

    def put_later(self, name: str, errors: int) -> None:
        """Make a name due again after the back-off for so many errors in a row."""
        asyncio.get_running_loop().call_later(backoff(errors), self.put, name, Why.AGAIN)

    async def run(self) -> None:
        """Read for ever."""
        while True:
            if (taken := self.due.take()) is None:
                self._put.clear()
                await self._put.wait()
                continue
            name, why = taken
            try:
                await self._read(name, why)
            except Exception:
                self.put_later(name, 1)
                raise
            finally:
                self.due.done(name)
