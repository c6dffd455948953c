"""A way to an xds-server on which everything said is kept; what it carries passes through unchanged.

A half-close is passed on as a half-close and a reset as a reset, so that to either side a peer that is killed
looks as it would without the tap. One thing differs: while nobody listens on the other side, a connection
is taken and reset at once, where it would have been refused.
"""

import asyncio
import contextlib
import itertools
import socket
import struct
from dataclasses import dataclass

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Bytes as they were read at one moment (loop time); none: this side says nothing more."""

    connection: int
    to_server: bool
    at: float
    data: bytes


class Tap:
    """Listens on a port of 127.0.0.1 and passes on to `target`; adds what is said to `said`, in its order."""

    def __init__(self, target: tuple[str, int], said: list[Chunk]) -> None:
        self.address: tuple[str, int]
        self._target = target
        self._said = said
        self._server: asyncio.Server
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Close the port and every connection."""
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connection(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, writers = next(_numbers), [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            writers.append(far_writer)
            # The first error ends both ways: a connection that is reset is reset in both directions.
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(number, reader, far_writer, to_server=True))
                ways.create_task(self._pass(number, far_reader, writer, to_server=False))
        except* OSError:
            for one in writers:
                _reset(one)
        finally:
            for to_server in (True, False):
                self._note(number, to_server=to_server, data=b"")
            for one in writers:
                one.close()

    async def _pass(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        while data := await reader.read(65_536):
            self._note(number, to_server=to_server, data=data)
            writer.write(data)
            await writer.drain()
        self._note(number, to_server=to_server, data=b"")
        writer.write_eof()

    def _note(self, number: int, *, to_server: bool, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._said.append(Chunk(connection=number, to_server=to_server, at=now, data=data))


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
