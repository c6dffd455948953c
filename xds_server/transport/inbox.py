"""What one stream has to deal with next, in one place, so that one task can wait for all of it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import grpc

from xds_server.runtime.latest import Latest
from xds_server.snapshot import Snapshot
from xds_server.transport.ending import CLIENT_DONE, End

_ROOM: Final = 8
"""Requests that may wait; the next one stays in the transport, whose flow control stops the client."""


class Heartbeat:
    """It is time to send heartbeats, and what was to wait no longer than until now."""


HEARTBEAT: Final = Heartbeat()

Item: TypeAlias = bytes | Snapshot | Heartbeat | End


class Inbox:
    """Holds what came for a stream until the stream takes it.

    An end comes before everything else; then requests in their order, as an answer never waits for a push
    (P-095); then the newest snapshot; then heartbeats. Nothing in it grows with time.
    """

    def __init__(self) -> None:
        self._end: End | None = None
        self._requests: deque[bytes | End] = deque()
        self._snapshot: Snapshot | None = None
        self._beat = False
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    def end(self, end: End) -> None:
        """End the stream before it takes anything else; the first end counts."""
        self._end = self._end or end
        self._filled.set()

    def beat(self) -> None:
        """Say that heartbeats are due, or what waited."""
        self._beat = True
        self._filled.set()

    async def receive(self, read: Callable[[], Awaitable[Any]]) -> None:
        """Take in what `read` gives, waiting while there is no room, until it gives `grpc.aio.EOF`."""
        while (request := await read()) is not grpc.aio.EOF:
            while len(self._requests) >= _ROOM:
                self._room.clear()
                await self._room.wait()
            self._put(request)
            # The next one may take hours to come, and a request with a node is 60 kB.
            del request
        self._put(CLIENT_DONE)

    def _put(self, item: bytes | End) -> None:
        self._requests.append(item)
        self._filled.set()

    async def follow(self, snapshots: Latest[Snapshot]) -> None:
        """Put in every newer snapshot, for ever."""
        async for snapshot in snapshots.values():
            # In place of an older one that was not taken yet.
            self._snapshot = snapshot
            self._filled.set()

    async def first(self) -> bytes | End:
        """Give the first request, or the end that came before it; it stays here."""
        while self._end is None and not self._requests:
            self._filled.clear()
            await self._filled.wait()
        return self._end or self._requests[0]

    async def get(self) -> Item:
        """Give what is to be dealt with next, waiting for it."""
        while (item := self._take()) is None:
            self._filled.clear()
            await self._filled.wait()
        return item

    def _take(self) -> Item | None:
        if self._end is not None:
            return self._end
        if self._requests:
            self._room.set()
            return self._requests.popleft()
        if self._snapshot is not None:
            snapshot, self._snapshot = self._snapshot, None
            return snapshot
        if self._beat:
            self._beat = False
            return HEARTBEAT
        return None
