"""A TCP proxy that makes a peer slow, unreachable, or mad."""

import asyncio
import contextlib
import random
import socket
import struct
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class FaultProxy:
    """Listens on a port of 127.0.0.1 and passes bytes on to another, as long as it is not `closed`.

    `delay` holds answers back, `request_delay` what is asked (seconds), `throttle` is how many bytes a
    second of answers go through on each connection. While it is `frozen` it passes nothing on and
    connections stay open: so looks a peer that has vanished; `swallow` is the same, and what was sent in the
    meantime never arrives. `garbage` is the share (0 to 1) of what is read from the peer that is spoilt.
    """

    def __init__(self, target_port: int, *, delay: float = 0.0, request_delay: float = 0.0) -> None:
        self.delay = delay
        self.request_delay = request_delay
        self.throttle = 0
        self.frozen = False
        self.swallow = False
        self.garbage = 0.0
        self.spoilt = 0
        """How many times something was spoilt."""
        self.closed = False
        self.accepted = 0
        """How many connections were accepted so far."""
        self.port = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._random = random.Random(1)  # noqa: S311 - faults, no secret

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    async def cut(self) -> None:
        """End every connection that is open now."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reset(self) -> None:
        """Break every connection that is open now by RST, as a host does that knows nothing of it."""
        for writer in self._open.values():
            sock = writer.get_extra_info("socket")
            # Lingering for 0 seconds: socket(7), SO_LINGER.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        await self.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._connection(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(_close, writer)
            if self.closed:
                return
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
                stack.push_async_callback(_close, far_writer)
                await asyncio.gather(
                    self._pass(reader, far_writer, back=False), self._pass(far_reader, writer, back=True)
                )

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        while data := await reader.read(_CHUNK):
            if delay := self.delay if back else self.request_delay:
                await asyncio.sleep(delay)
            while self.frozen:  # noqa: ASYNC110 - an event for each way would be more to read
                await asyncio.sleep(0.05)
            if self.swallow:
                continue
            await self._write(writer, self._spoil(data) if back else data, slow=back)
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, *, slow: bool) -> None:
        """Write at the speed of the throttle, a tenth of a second at a time."""
        step = max(1, self.throttle // 10) if slow and self.throttle else len(data)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            if step < len(data):
                await asyncio.sleep(0.1)

    def _spoil(self, data: bytes) -> bytes:
        """Overwrite the second half with what is neither text nor JSON, as often as `garbage` says."""
        if self._random.random() >= self.garbage:
            return data
        self.spoilt += 1
        half = len(data) // 2
        return data[:half] + b"\xff" * (len(data) - half)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
