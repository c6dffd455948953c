"""A TCP proxy that makes a peer slow, or unreachable."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class FaultProxy:
    """Listens on a port of 127.0.0.1 and passes bytes on to another, as long as it is not `closed`.

    `delay` holds answers back, `request_delay` what is asked (seconds). While it is `frozen` it passes
    nothing on and connections stay open: so looks a peer that has vanished.
    """

    def __init__(self, target_port: int, *, delay: float = 0.0, request_delay: float = 0.0) -> None:
        self.delay = delay
        self.frozen = False
        self.request_delay = request_delay
        self.closed = False
        self.port = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
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
        """Break every connection that is open now."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connection(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

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
        while data := await reader.read(65_536):
            if delay := self.delay if back else self.request_delay:
                await asyncio.sleep(delay)
            while self.frozen:  # noqa: ASYNC110 - an event for each way would be more to read
                await asyncio.sleep(0.05)
            writer.write(data)
            await writer.drain()
        writer.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
