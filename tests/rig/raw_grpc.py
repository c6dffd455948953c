"""gRPC by hand over HTTP/2, for what no gRPC library would send.

async with RawGrpc(port) as raw:
    stream = await raw.open("/package.Service/Method", [("grpc-timeout", "1m")])
    await raw.message(stream, payload)
    code, sentence = await raw.outcome(stream)
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote

import h2.connection
import h2.events
from h2.config import H2Configuration
from h2.exceptions import ProtocolError

GONE: Final = "the connection was closed"
"""What became of a stream whose connection has ended without a status."""


class RawGrpc:
    """One connection to a port of 127.0.0.1; what the server says is read all the time, and acknowledged."""

    def __init__(self, port: int) -> None:
        self.answers: dict[int, list[bytes]] = {}
        """The data that came, by stream."""
        self.h2 = h2.connection.H2Connection(
            H2Configuration(client_side=True, validate_outbound_headers=False, header_encoding="utf-8")
        )
        # Huffman coding of a megabyte takes minutes in Python.
        self.h2.encoder.encode = partial(self.h2.encoder.encode, huffman=False)
        self._port = port
        self._ends: dict[int, asyncio.Future[tuple[str, str]]] = {}
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.h2.initiate_connection()
        await self.flush()
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def open(self, path: str, headers: Sequence[tuple[str, str]] = (), *, end: bool = False) -> int:
        """Begin a call; give its stream. With `end` nothing more is said on it."""
        stream = self.h2.get_next_available_stream_id()
        self._ends[stream] = asyncio.get_running_loop().create_future()
        self.h2.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "127.0.0.1"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                *headers,
            ],
            end_stream=end,
        )
        await self.flush()
        return stream

    async def message(self, stream: int, payload: bytes, *, flag: int = 0, end: bool = False) -> None:
        """Send a gRPC message; `flag` 1 says that it is compressed (gRPC over HTTP2, "Requests")."""
        await self.data(stream, bytes([flag]) + len(payload).to_bytes(4) + payload, end=end)

    async def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send any bytes on a stream, as fast as the server's windows allow."""
        left = memoryview(data)
        while left:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(left))
            if room <= 0:
                if self._ends[stream].done():
                    return
                await asyncio.sleep(0.005)
                continue
            self.h2.send_data(stream, bytes(left[:room]))
            left = left[room:]
            await self.flush()
        if end:
            self.h2.end_stream(stream)
            await self.flush()

    async def raw(self, data: bytes) -> None:
        """Send bytes that are no business of HTTP/2's rules."""
        self._writer.write(data)
        await self._writer.drain()

    async def flush(self) -> None:
        """Send what the connection has to say."""
        await self.raw(self.h2.data_to_send())

    async def outcome(self, stream: int, within: float = 10.0) -> tuple[str, str]:
        """Give the gRPC status code, a number as text, and the sentence; `""` and why where there is none."""
        async with asyncio.timeout(within):
            return await asyncio.shield(self._ends[stream])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, ProtocolError):
            while data := await reader.read(65_536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                await self.flush()
        for end in self._ends.values():
            if not end.done():
                end.set_result(("", GONE))

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.TrailersReceived() | h2.events.ResponseReceived():
                headers = dict(event.headers)
                if "grpc-status" in headers:
                    self._end(
                        event.stream_id, headers["grpc-status"], unquote(headers.get("grpc-message", ""))
                    )
            case h2.events.DataReceived():
                self.answers.setdefault(event.stream_id, []).append(event.data)
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamReset():
                self._end(event.stream_id, "", f"reset {event.error_code!r}")

    def _end(self, stream: int | None, code: str, sentence: str) -> None:
        if stream in self._ends and not self._ends[stream].done():
            self._ends[stream].set_result((code, sentence))
