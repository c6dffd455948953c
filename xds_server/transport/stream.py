"""One gRPC stream as the task that serves it sees it: its requests, one by one, and its end."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc

from xds_server.transport.ending import CLIENT_DONE, End
from xds_server.transport.flow import Flow, FlowLimits, flooded

T = TypeVar("T")


class Stream(Generic[T]):
    """Reads in the task that makes it; an end may come from anywhere.

    `context` is gRPC's, and `decode` makes a request of its bytes. There is no second task and no queue: what
    is not read stays in the transport, and HTTP/2's flow control stops the client (RFC 9113, 5.2). An end
    comes before everything else: it interrupts the task where that waits for a request, and by `break_off`
    wherever it waits.
    """

    __slots__ = (
        "__weakref__",
        "_broken",
        "_decode",
        "_end",
        "_first",
        "_flow",
        "_limits",
        "_task",
        "_waits",
        "context",
    )

    def __init__(self, context: Any, limits: FlowLimits, decode: Callable[[bytes], T]) -> None:
        self.context = context
        self._decode = decode
        self._limits = limits
        self._flow = Flow(limits, time.monotonic())
        self._task = asyncio.current_task()
        self._first: T | None = None
        self._end: End | None = None
        self._waits = False
        self._broken = False

    def end(self, end: End) -> None:
        """End the stream before it takes anything else; the first end counts."""
        self._end = self._end or end
        if self._waits:
            self._interrupt()

    def break_off(self, end: End) -> None:
        """End the stream even if it is in the middle of something, like a write that nobody takes."""
        self._end = self._end or end
        self._interrupt()

    def _interrupt(self) -> None:
        if not self._broken and self._task is not None:
            self._broken = True
            self._task.cancel()

    def interrupted(self) -> End | None:
        """Give the end that raised CancelledError in the task; None where somebody else cancelled it too.

        Who is cancelled by gRPC, as the client is gone, has nobody to send a status to. A task that goes on
        after this is not cancelled any more, so this may be asked once.
        """
        if not self._broken or self._task is None or self._task.uncancel():
            return None
        return self._end

    async def first(self) -> T | End:
        """Give the first request, or the end that came before it; it will be read again.

        Raises what `decode` raises.
        """
        read = await self.read()
        if not isinstance(read, End):
            self._first = read
        return read

    async def read(self) -> T | End:
        """Wait for the next request; who asks too fast waits longer, and is ended if it goes on (P-122).

        Raises what `decode` raises.
        """
        if self._end is not None:
            return self._end
        if self._first is not None:
            first, self._first = self._first, None
            return first
        self._waits = True
        try:
            request = await self.context.read()
            if request is grpc.aio.EOF:
                return CLIENT_DONE
            now = time.monotonic()
            if wait := self._flow.take(now):
                if self._flow.floods(now):
                    return flooded(self._limits)
                await asyncio.sleep(wait)
        finally:
            self._waits = False
        return self._decode(request)
