"""The recorder of a test: taps on the ways to its servers, what was said on them, and whether it was right.

address = await recorder.tap(server.address)   # where the Envoy is sent instead
...
recorder.excuse("the test takes the route away on purpose", Rule.ROUTES)
assert not recorder.violations()
"""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from google.protobuf.message import DecodeError

from tests.rig import xds_messages
from tests.rig.conversation import Rule, violations
from tests.rig.http2 import DATA, Frame, FrameReader, MessageReader, NotHttp2Error
from tests.rig.tap import Chunk, Tap
from tests.rig.xds_messages import Request, Response, Stream


class Recorder:
    """Records from the first `tap` until `stop`."""

    def __init__(self) -> None:
        self.said: list[Chunk] = []
        self.excuses: dict[Rule, str] = {}
        self._taps: dict[tuple[str, int], Tap] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(tap.stop() for tap in self._taps.values()))

    async def tap(self, address: tuple[str, int]) -> tuple[str, int]:
        """Give the address to use in place of a server's, the same one each time; servers may come and go."""
        if address not in self._taps:
            tap = Tap(address, self.said)
            await tap.start()
            self._taps[address] = tap
        return self._taps[address].address

    def excuse(self, reason: str, *rules: Rule) -> None:
        """Say why some rules (all if none is named) do not hold in this test."""
        self.excuses.update(dict.fromkeys(rules or Rule, reason))

    def streams(self) -> tuple[Stream, ...]:
        """Give the discovery streams so far, in the order in which they began."""
        return self._read().finished()

    def pings(self) -> dict[int, int]:
        """Give how many HTTP/2 pings of its own the client sent, by the number of the connection."""
        return self._read().pings

    def violations(self) -> list[str]:
        """Give the sentences of what was not right and is not excused."""
        reading, now = self._read(), asyncio.get_running_loop().time()
        found = [(Rule.READABLE, sentence) for sentence in reading.unreadable]
        for stream in reading.finished():
            found += [(rule, f"{stream.label}: {one}") for rule, one in violations(stream, until=now)]
        return [f"{rule}: {sentence}" for rule, sentence in found if rule not in self.excuses]

    def transcript(self) -> str:
        """Give what was said as lines for people."""
        events = sorted(
            ((event, stream) for stream in self.streams() for event in stream.events),
            key=lambda pair: pair[0].order,
        )
        start = events[0][0].at if events else 0.0
        return "\n".join(f"{event.at - start:7.3f} {stream.label} {_line(event)}" for event, stream in events)

    def _read(self) -> "_Reading":
        reading = _Reading()
        for chunk in self.said:
            reading.take(chunk)
        return reading


@dataclass
class _OpenStream:
    """A stream as it is put together."""

    label: str
    readers: dict[bool, MessageReader] = field(
        default_factory=lambda: {True: MessageReader(), False: MessageReader()}
    )
    started: bool = False
    variant: str | None = None
    node: str = ""
    events: list[Request | Response] = field(default_factory=list)
    ended: float | None = None


class _Reading:
    """Chunks in, streams out."""

    def __init__(self) -> None:
        self.unreadable: list[str] = []
        self.pings: dict[int, int] = {}
        self._frames: dict[tuple[int, bool], FrameReader | None] = {}
        self._streams: dict[tuple[int, int], _OpenStream] = {}
        self._count = 0

    def take(self, chunk: Chunk) -> None:
        """Take what was read next."""
        if not chunk.data:
            self._connection_ended(chunk)
            return
        way = (chunk.connection, chunk.to_server)
        reader = self._frames.setdefault(way, FrameReader(preface=chunk.to_server))
        if reader is None:
            return
        try:
            for frame in reader.feed(chunk.data):
                if frame.is_ping and chunk.to_server:
                    self.pings[chunk.connection] = self.pings.get(chunk.connection, 0) + 1
                if frame.stream:
                    self._in_stream(chunk, frame)
        except (NotHttp2Error, DecodeError, ValueError) as error:
            self.unreadable.append(f"connection {chunk.connection}: {error!r}")
            # Neither direction can be made sense of from here on.
            self._frames[way] = self._frames[chunk.connection, not chunk.to_server] = None

    def _in_stream(self, chunk: Chunk, frame: Frame) -> None:
        key = (chunk.connection, frame.stream)
        stream = self._streams.setdefault(key, _OpenStream(f"c{key[0]}/s{key[1]}"))
        if frame.type == DATA:
            for payload in stream.readers[chunk.to_server].feed(frame.payload):
                self._message(chunk, stream, payload)
        if frame.resets or (frame.ends_stream and not chunk.to_server):
            stream.ended = stream.ended or chunk.at

    def _message(self, chunk: Chunk, stream: _OpenStream, payload: bytes) -> None:
        if not stream.started:
            stream.started, stream.variant = True, xds_messages.variant_of(payload)
            if stream.variant is not None:
                stream.node = xds_messages.node_of(stream.variant, payload)
        if stream.variant is None:
            return
        self._count += 1
        decode = xds_messages.request if chunk.to_server else xds_messages.response
        stream.events.append(decode(stream.variant, payload, self._count, chunk.at))

    def _connection_ended(self, chunk: Chunk) -> None:
        for (connection, _), stream in self._streams.items():
            if connection == chunk.connection:
                stream.ended = stream.ended or chunk.at

    def finished(self) -> tuple[Stream, ...]:
        """Give the discovery streams."""
        return tuple(
            Stream(
                variant=one.variant,
                events=tuple(one.events),
                label=one.label,
                node=one.node,
                ended=one.ended,
            )
            for one in self._streams.values()
            if one.variant is not None
        )


def _line(event: Request | Response) -> str:
    kind = event.type.rpartition(".")[2]
    if isinstance(event, Response):
        items = {name: item.version[:6] for name, item in event.items.items()}
        return f"<- #{event.order} {kind} {event.nonce} {items} removed={list(event.removed)}"
    said = {
        "names": event.names,
        "+": event.subscribe,
        "-": event.unsubscribe,
        "held": tuple(event.held),
        "version": event.version[:6],
        "error": event.error,
    }
    told = " ".join(f"{key}={value}" for key, value in said.items() if value)
    return f"-> #{event.order} {kind} {event.nonce or '(first)'} {told}"
