"""The form of the file: a line to know it by, the format's version, a digest of all the rest, an `Envelope`.

    the line | version, 2 bytes | SHA-256, 32 bytes | Envelope

The first two and the place of the digest never change, so that a newer format is told from a damaged file.
"""

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from xds_server.files.last_good import codec
from xds_server.files.last_good.schema import descriptor, message_class
from xds_server.files.last_good.source import SourceId

MAGIC: Final = b"xds-server last good state\n"
VERSION: Final = 1
LARGEST_FILE: Final = 256 * 1024 * 1024
"""Bytes of a file; 10,000 services with 10 instances each take about 1 MB."""

_LARGEST_BODY: Final = 1024 * 1024 * 1024
_VERSION_BYTES: Final = 2
_HEAD: Final = len(MAGIC) + _VERSION_BYTES + hashlib.sha256().digest_size
# Speed counts for more than size: a tenth of the time of the default, for half as much again.
_LEVEL: Final = 1


class RefusedError(Exception):
    """What is on disk is not used; the text says why, and goes on after the name of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is said of the state: when it was last known to be true (Unix seconds), and whose it is."""

    at: float
    source: SourceId
    body: bytes


def pack(envelope: Envelope) -> bytes:
    """Give the bytes of the file. Raises ValueError where they would be too many to be read again."""
    packed = message_class(descriptor("Envelope"))(
        at=envelope.at,
        source=codec.to_message(envelope.source),
        body=zlib.compress(envelope.body, _LEVEL),
        size=len(envelope.body),
    ).SerializeToString()
    if len(packed) + _HEAD > LARGEST_FILE or len(envelope.body) > _LARGEST_BODY:
        raise ValueError(f"the catalog is too large to be kept: {len(packed)} bytes")
    version = VERSION.to_bytes(_VERSION_BYTES, "big")
    return b"".join((MAGIC, version, hashlib.sha256(version + packed).digest(), packed))


def unpack(data: bytes) -> Envelope:
    """Read the bytes of a file. Raises RefusedError."""
    if not data.startswith(MAGIC):
        raise RefusedError("is no file of xds-server, or has lost its beginning")
    if len(data) < _HEAD:
        raise RefusedError("is cut short")
    version = data[len(MAGIC) :][:_VERSION_BYTES]
    digest, packed = data[len(MAGIC) + _VERSION_BYTES : _HEAD], data[_HEAD:]
    if hashlib.sha256(version + packed).digest() != digest:
        raise RefusedError("is cut short or damaged: its SHA-256 is not the one it tells")
    number = int.from_bytes(version, "big")
    if number != VERSION:
        raise RefusedError(f"has format {number}, and this version of xds-server reads {VERSION}")
    try:
        return _envelope(packed)
    except (DecodeError, zlib.error, ValueError, TypeError, KeyError):
        raise RefusedError(
            "cannot be read, although it is whole: another program may have written it"
        ) from None


def _envelope(packed: bytes) -> Envelope:
    message: Any = message_class(descriptor("Envelope")).FromString(packed)
    if not 0 <= message.size <= _LARGEST_BODY:
        raise ValueError("size")
    # What a few bytes may become is bounded by what the file itself says, and that by us.
    body = zlib.decompressobj().decompress(message.body, message.size + 1)
    if len(body) != message.size:
        raise ValueError("size")
    return Envelope(at=message.at, source=codec.from_message(SourceId, message.source), body=body)
