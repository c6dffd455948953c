"""One end of the pair of sockets between the parent and a worker: a value is a length and its bytes.

The pair has no name and is on no disk; nobody but the two processes can reach it.
"""

import asyncio
import socket
import struct
from typing import Any, Final, Self

from xds_server.app.workers import coding

_LENGTH: Final = struct.Struct("!Q")
_READ_AHEAD: Final = 1024 * 1024


class ClosedError(Exception):
    """The other process is gone, or has closed its end."""


class Channel:
    """Sends and receives whole values."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Take over a connected socket."""
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=_READ_AHEAD)
        # So `send` waits until the other end has taken what was sent before; nothing piles up here.
        writer.transport.set_write_buffer_limits(high=0)
        return cls(reader, writer)

    async def send(self, value: Any) -> None:
        """Send a value, and wait until it has left this process. Raises ClosedError."""
        self.post(value)
        try:
            await self._writer.drain()
        except OSError:
            raise ClosedError from None

    def post(self, value: Any) -> None:
        """Send a short value, and do not wait; one that the other process has no use for any more is lost."""
        data = coding.encode(value)
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> Any:
        """Give the next value. Raises ClosedError, and CodingError for what is none."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            raise ClosedError from None
        return coding.decode(data)

    def close(self) -> None:
        """Close this end; the other process notices."""
        self._writer.close()
