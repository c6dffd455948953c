"""Protobuf's wire format, as far as it is written by hand: what frames bytes that are encoded already.

Protocol Buffers, "Encoding": a field of bytes is its tag, its length as a varint, and the bytes.
"""

from typing import Final


def _made(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits at a time
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_SHORT: Final = tuple(map(_made, range(1024)))
"""Nearly every length, made once."""


def varint(value: int) -> bytes:
    """Encode a number of at least 0 as protobuf does ("Base 128 Varints")."""
    return _SHORT[value] if value < len(_SHORT) else _made(value)


def framed(tag: bytes, content: bytes) -> bytes:
    """Give a field of bytes, text or a message; `tag` is its number times 8, plus 2."""
    return tag + varint(len(content)) + content


def varint_at(data: bytes, at: int) -> tuple[int, int]:
    """Read the varint at a place; give it with the place after it. Raises IndexError where the data ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte <= 0x7F:  # noqa: PLR2004 - as above
            return value, at
        shift += 7
