"""gRPC messages out of the bytes of HTTP/2 connections, as far as reading a recording needs it (RFC 9113).

Headers are not decoded: which method a stream is shows in its messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, PING = 0x0, 0x1, 0x3, 0x6
_END_STREAM, _ACK, _PADDED = 0x1, 0x1, 0x8
_ENDS_WITH = frozenset({DATA, HEADERS})
_HEAD = 9


class NotHttp2Error(Exception):
    """A client began with something else, e.g. a TLS handshake."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; of a padded DATA frame the payload is without its padding."""

    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def resets(self) -> bool:
        """Whether it ends its stream in both directions."""
        return self.type == RST_STREAM

    @property
    def ends_stream(self) -> bool:
        """Whether its sender says nothing more on its stream."""
        return self.type in _ENDS_WITH and bool(self.flags & _END_STREAM)

    @property
    def is_ping(self) -> bool:
        """Whether it is a ping that asks for an answer."""
        return self.type == PING and not self.flags & _ACK


class FrameReader:
    """One direction of a connection: bytes in pieces of any size in, whole frames out."""

    def __init__(self, *, preface: bool) -> None:
        self._preface = preface
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take a piece. Raises NotHttp2Error where the preface is due and something else comes."""
        self._rest += data
        if self._preface:
            if not PREFACE.startswith(self._rest[: len(PREFACE)]):
                raise NotHttp2Error
            if len(self._rest) < len(PREFACE):
                return
            self._preface, self._rest = False, self._rest[len(PREFACE) :]
        while len(self._rest) >= _HEAD:
            end = _HEAD + int.from_bytes(self._rest[:3])
            if len(self._rest) < end:
                return
            frame, self._rest = self._rest[:end], self._rest[end:]
            yield _frame(frame)


def _frame(raw: bytes) -> Frame:
    kind, flags = raw[3], raw[4]
    payload = raw[_HEAD:]
    if kind == DATA and flags & _PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return Frame(kind, flags, int.from_bytes(raw[5:9]) & 0x7FFF_FFFF, payload)


class MessageReader:
    """One direction of one stream: payloads of DATA frames in, gRPC messages out (gRPC over HTTP2)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, payload: bytes) -> Iterator[bytes]:
        """Take a payload. Raises ValueError for a compressed message, which nobody here sends."""
        self._rest += payload
        while len(self._rest) >= 5:
            end = 5 + int.from_bytes(self._rest[1:5])
            if len(self._rest) < end:
                return
            if self._rest[0]:
                raise ValueError("a compressed gRPC message")
            message, self._rest = self._rest[5:end], self._rest[end:]
            yield message
