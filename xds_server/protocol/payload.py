"""What a request may be made of, seen in its bytes before they are decoded.

A protobuf map takes the decoder time that grows faster than its entries: 100,000 take 0.1 s, 350,000 two
seconds, a million minutes, in which nothing else runs. So entries are counted where they cost little: on the
wire (https://protobuf.dev/programming-guides/encoding/), one field after the other.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from xds_server.protocol.limits import LIMITS
from xds_server.protocol.messages import ProtocolError, TooMuchError

_SMALL: Final = 256 * 1024
"""Bytes of a request that is not looked at: its maps are small, whatever is in it."""

_MOST_OF_A_FIELD: Final = 1024 * 1024
"""Bytes of one field that may hold maps of its own; a node of an Envoy has 60 kB."""

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5

_LOW_BITS, _MOST_BITS = 0x7F, 64


def check_payload(payload: bytes, message: Any) -> None:
    """Raise ProtocolError where decoding a request of this message class would take too long."""
    if len(payload) <= _SMALL:
        return
    fields = message.DESCRIPTOR.fields_by_number
    counts: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for number, size in _lengths(payload):
        field = fields.get(number)
        if field is None or field.message_type is None or field.name == "error_detail":
            continue
        counts[number] += 1
        # Pieces of one message are merged, those of a list are not.
        sizes[number] = size if field.is_repeated else sizes[number] + size
        if sizes[number] > _MOST_OF_A_FIELD:
            raise ProtocolError(f"{field.name} has more than {_MOST_OF_A_FIELD} bytes")
        if counts[number] > LIMITS.names:
            raise TooMuchError(f"the request lists more than {LIMITS.names} {field.name}")


def _lengths(payload: bytes) -> Iterator[tuple[int, int]]:
    """Give the number and length of each field that has a length, as far as the bytes are a message."""
    at, end = 0, len(payload)
    while at < end:
        tag, at = varint(payload, at)
        kind = tag & 7
        if kind == _LENGTH:
            size, at = varint(payload, at)
            yield tag >> 3, size
            at += size
        elif kind == _VARINT:
            _, at = varint(payload, at)
        elif kind in (_EIGHT, _FOUR):
            at += 8 if kind == _EIGHT else 4
        else:
            raise ProtocolError("the request has a group, which no message of xDS has")


def varint(payload: bytes, at: int) -> tuple[int, int]:
    """Give a varint and where it ends; one that is cut off ends what can be read."""
    value = shift = 0
    while at < len(payload):
        byte = payload[at]
        value |= (byte & _LOW_BITS) << shift
        at, shift = at + 1, shift + 7
        if byte <= _LOW_BITS or shift >= _MOST_BITS:
            return value, at
    return value, at
