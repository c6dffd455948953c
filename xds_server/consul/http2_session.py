"""The protocol of one HTTP/2 connection (RFC 9113): bytes in, bytes out, and the streams between.

The library `h2` keeps the rules; nothing here knows of sockets or clocks but the time it is told.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from yarl import URL

from xds_server.consul.errors import ConsulError, Unreachable
from xds_server.consul.failures import cut, translated
from xds_server.consul.http2_frames import FrameHeads
from xds_server.consul.http2_stream import Stream
from xds_server.consul.transport import Limits, Request

# Bodies are copied as they come, so a window bounds only what is under way.
_STREAM_WINDOW: Final = 2**20
_CONNECTION_WINDOW: Final = 2**24
_MOST_STREAMS: Final = 1000  # of a peer that names no bound
_LAST_STREAM: Final = 2**30  # stream numbers end at 2**31, and a new connection is cheap
_PING: Final = b"xds-ping"


class NotProcessedError(Exception):
    """The request was not looked at, so it can be sent again (RFC 9113 section 8.7)."""


class Http2Session:
    """The streams to the agent at `base`. `settled` is called when the peer has told its settings.

    `most` is how many streams it allows (SETTINGS_MAX_CONCURRENT_STREAMS), 0 before that.
    """

    def __init__(self, base: str, limits: Limits, settled: Callable[[], None]) -> None:
        self.most = 0
        self._base = base
        self._limits = limits
        self._settled = settled
        self._streams: dict[int, Stream] = {}
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: self._h2.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        self._heads = FrameHeads(self._h2.max_inbound_frame_size)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW)

    @property
    def open(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def begin(self, url: URL, request: Request) -> tuple[int, Stream]:
        """Open a stream for a request; give its number and where the answer is collected.

        Raises ConsulError. What is begun has to be finished.
        """
        try:
            number = self._h2.get_next_available_stream_id()
            self._h2.send_headers(number, list(_fields(url, request)), end_stream=not request.body)
            if request.body:
                self._send_body(number, request.body)
        except h2.exceptions.H2Error as error:
            raise translated(self._base, error) from None
        if number > _LAST_STREAM:
            self.most = 0
        reply = asyncio.get_running_loop().create_future()
        stream = self._streams[number] = Stream(request.path, self._limits, reply)
        return number, stream

    def finish(self, number: int) -> None:
        """Forget a stream, and tell the peer to end it where it has not."""
        stream = self._streams.pop(number, None)
        if stream is not None and not stream.ended:
            with contextlib.suppress(h2.exceptions.H2Error):  # the peer may have reset it in this moment
                self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)

    def receive(self, data: bytes, now: float) -> None:
        """Take what the peer sent, at a time of the event loop.

        Raises ConsulError when the connection is over: by GOAWAY, or because it is no sound HTTP/2.
        """
        try:
            if not self._heads.allow(data):
                raise h2.exceptions.ProtocolError
            for event in self._h2.receive_data(data):
                self._take(event, now)
        except h2.exceptions.H2Error as error:
            raise translated(self._base, error) from None

    def to_send(self) -> bytes:
        """Give the bytes that are to be sent now."""
        return self._h2.data_to_send()

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self._h2.ping(_PING)

    def end(self, error: ConsulError) -> None:
        """Say goodbye, and fail what is under way."""
        with contextlib.suppress(h2.exceptions.H2Error):
            self._h2.close_connection()
        for stream in self._streams.values():
            stream.fail(error)

    def _take(self, event: h2.events.Event, now: float) -> None:
        match event:
            case h2.events.RemoteSettingsChanged():
                self.most = min(_MOST_STREAMS, self._h2.remote_settings.max_concurrent_streams)
                self._settled()
            case h2.events.DataReceived(stream_id=int(number), data=data, flow_controlled_length=size):
                # Also for a stream that we gave up, or the window of the others would shrink.
                self._h2.acknowledge_received_data(size or 0, number)
                if stream := self._streams.get(number):
                    stream.take(data or b"", now + self._limits.silence)
            case h2.events.ConnectionTerminated(last_stream_id=last):
                self._refuse_after(last or 0)
                raise cut(self._base)
            case (
                h2.events.ResponseReceived(stream_id=int(number))
                | h2.events.StreamEnded(stream_id=int(number))
                | h2.events.StreamReset(stream_id=int(number))
            ):
                if stream := self._streams.get(number):
                    self._take_of(stream, event)
            case _:
                pass  # acknowledgements, trailers, and what HTTP/2 may become

    def _take_of(self, stream: Stream, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(headers=fields):
                stream.take_headers(fields or [])
            case h2.events.StreamEnded():
                stream.end()
            case h2.events.StreamReset(error_code=h2.errors.ErrorCodes.REFUSED_STREAM):
                stream.fail(NotProcessedError())
            case _:
                stream.fail(cut(self._base))

    def _refuse_after(self, last: int) -> None:
        """Fail the streams that came after the last one a GOAWAY names: they can be sent again."""
        for number, stream in self._streams.items():
            if number > last:
                stream.fail(NotProcessedError())

    def _send_body(self, number: int, body: bytes) -> None:
        """Send a body that fits into the window, as that of a login does."""
        size = self._h2.max_outbound_frame_size
        if len(body) > self._h2.local_flow_control_window(number):
            self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
            raise Unreachable(f"Consul at {self._base} takes no body of {len(body)} bytes now: try again.")
        for at in range(0, len(body), size):
            self._h2.send_data(number, body[at : at + size], end_stream=at + size >= len(body))


def _fields(url: URL, request: Request) -> Iterator[tuple[str, str]]:
    yield ":method", request.method
    yield ":scheme", "https"
    yield ":authority", url.raw_authority
    yield ":path", url.raw_path_qs
    for name, value in request.fields.items():
        yield name.lower(), value
    if request.body:
        yield "content-length", str(len(request.body))
