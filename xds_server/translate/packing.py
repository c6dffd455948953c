"""The one way a message becomes bytes: deterministic at every level.

`Any.Pack` gives different bytes for equal messages with a map field unless it is told to be deterministic,
and so does every level inside; hence this module, and a test that forbids `.Pack(` elsewhere.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final
from weakref import WeakValueDictionary

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from xds_server.model.types import TypeUrl
from xds_server.translate.wire import framed, varint_at

_NANOS: Final = 1_000_000_000

# Fields 1 and 2 of `google.protobuf.Any`, `type_url` and `value`.
_TYPE: Final = b"\x0a"
_VALUE: Final = b"\x12"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Another resource that has to be there for this one to work."""

    type: TypeUrl
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Draft:
    """An Envoy resource as bytes, not yet versioned: `packed` is a serialised `google.protobuf.Any`.

    Drafts compare by identity: translation hands out the same draft again while its inputs are the same.
    The bytes are kept out of the repr, as those of a secret hold a private key. What is `on_demand` goes to
    clients that name it only: a wildcard does not cover it. After `ttl` seconds without a heartbeat a delta
    client drops the resource (xDS protocol, "Resource TTL").
    """

    type: TypeUrl
    name: str
    packed: bytes = field(repr=False)
    references: tuple[Reference, ...] = ()
    on_demand: bool = False
    ttl: float | None = None


def shared(made: Draft) -> Draft:
    """Give the draft of the same content that there is already, or this one.

    Groups of proxies differ in little: most of their clusters and assignments are the same, byte for byte.
    """
    known = _SHARED.setdefault((made.type, made.name, made.packed, made.on_demand, made.ttl), made)
    return known if known.references == made.references else made


_SHARED: Final[WeakValueDictionary[tuple[TypeUrl, str, bytes, bool, float | None], Draft]] = (
    WeakValueDictionary()
)


def pack(message: Message) -> Any:
    """Wrap a message as `Any`, deterministically."""
    packed = Any()
    packed.Pack(message, deterministic=True)
    return packed


def draft(type_url: TypeUrl, name: str, message: Message, references: tuple[Reference, ...] = ()) -> Draft:
    """Serialise a finished resource."""
    return Draft(
        type=type_url,
        name=name,
        packed=pack(message).SerializeToString(deterministic=True),
        references=references,
    )


def encoded(type_url: TypeUrl, name: str, content: bytes, references: tuple[Reference, ...] = ()) -> Draft:
    """Give a resource whose message is `content`, serialised deterministically.

    Its `Any` is written by hand: protobuf would copy the content twice for it.
    """
    head = _typed(type_url)
    packed = head + framed(_VALUE, content) if content else head
    return Draft(type=type_url, name=name, packed=packed, references=references)


@cache
def _typed(type_url: TypeUrl) -> bytes:
    return framed(_TYPE, type_url.encode())


def content_of(type_url: TypeUrl, packed: bytes) -> bytes | None:
    """Give the content of an `Any` that is as `encoded` writes it; None for any other."""
    head = _typed(type_url) + _VALUE
    if not packed.startswith(head):
        return None
    try:
        size, at = varint_at(packed, len(head))
    except IndexError:
        return None
    return packed[at:] if at + size == len(packed) else None


def on_demand(made: Draft) -> Draft:
    """Give a draft that goes only to clients that name it."""
    return replace(made, on_demand=True)


def duration(seconds: float) -> Duration:
    """Turn seconds into a protobuf Duration, rounded to the nanosecond."""
    nanos = round(seconds * _NANOS)
    return Duration(seconds=nanos // _NANOS, nanos=nanos % _NANOS)
