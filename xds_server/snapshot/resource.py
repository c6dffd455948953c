"""One resource, encoded once: its version, and its bytes as both protocol variants put them on the wire."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import Resource as DeltaResource

from xds_server.model.types import TypeUrl
from xds_server.translate.packing import Draft, Reference

# 128 bits of SHA-256, in hex: every delta message and every reconnect carries one per resource.
_VERSION_DIGITS: Final = 32

# Field 2, length-delimited: `DiscoveryResponse.resources`, `DeltaDiscoveryResponse.resources` and
# `Resource.resource` all have that tag (Envoy API, discovery.proto).
_FIELD_2: Final = b"\x12"


def content_version(content: bytes) -> str:
    """Name content: the same bytes have the same version on every replica and after every restart."""
    return hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource:
    """A named, versioned resource. The `Any` is held once; the variants differ in what goes before it."""

    type: TypeUrl
    name: str
    version: str
    references: tuple[Reference, ...]
    _packed: bytes = field(repr=False)
    _sotw_head: bytes = field(repr=False)
    _delta_head: bytes = field(repr=False)

    @classmethod
    def of(cls, draft: Draft) -> "Resource":
        """Version and encode a draft."""
        version = content_version(draft.packed)
        framed = _FIELD_2 + _varint(len(draft.packed))
        named = DeltaResource(name=draft.name, version=version).SerializeToString() + framed
        return cls(
            type=draft.type,
            name=draft.name,
            version=version,
            references=draft.references,
            _packed=draft.packed,
            _sotw_head=framed,
            _delta_head=_FIELD_2 + _varint(len(named) + len(draft.packed)) + named,
        )

    @property
    def packed(self) -> bytes:
        """The resource as a serialised `google.protobuf.Any`."""
        return self._packed

    @property
    def sotw(self) -> tuple[bytes, bytes]:
        """The parts of a `resources` entry of a DiscoveryResponse, to be joined."""
        return self._sotw_head, self._packed

    @property
    def delta(self) -> tuple[bytes, bytes]:
        """The parts of a `resources` entry of a DeltaDiscoveryResponse, to be joined."""
        return self._delta_head, self._packed


def _varint(value: int) -> bytes:
    """Encode a length as protobuf does (Protocol Buffers, "Base 128 Varints")."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits at a time
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
