"""One resource, encoded once: its version, and its bytes as both protocol variants put them on the wire."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from envoy.service.discovery.v3.discovery_pb2 import Resource as DeltaResource
from google.protobuf.duration_pb2 import Duration

from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.translate.packing import Draft, Reference, duration
from xds_server.translate.wire import framed, varint

# 128 bits of SHA-256, in hex: every delta message and every reconnect carries one per resource.
_VERSION_DIGITS: Final = 32

# Field 2, length-delimited: `DiscoveryResponse.resources`, `DeltaDiscoveryResponse.resources` and
# `Resource.resource` all have that tag (Envoy API, discovery.proto).
_FIELD_2: Final = b"\x12"

# `Resource.version` and `Resource.name`; neither is ever empty.
_VERSION: Final = b"\x0a"
_NAME: Final = b"\x1a"


def content_version(content: bytes) -> str:
    """Name content: the same bytes have the same version on every replica and after every restart."""
    return hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource:
    """A named, versioned resource. The `Any` is held once; the variants differ in what goes before it.

    `on_demand` and `ttl` are those of the draft. `source` are the bytes it was made of; they are not its own
    where a part had to be left out, which `complaints` tell. `claims` are what no other of its type may take
    too, like the address of a listener.
    """

    type: TypeUrl
    name: str
    version: str
    references: tuple[Reference, ...]
    on_demand: bool
    ttl: float | None
    complaints: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    source: bytes = field(repr=False)
    _packed: bytes = field(repr=False)
    _sotw_head: bytes = field(repr=False)
    _delta_head: bytes = field(repr=False)

    @classmethod
    def of(
        cls,
        draft: Draft,
        source: bytes | None = None,
        complaints: tuple[str, ...] = (),
        claims: tuple[str, ...] = (),
    ) -> "Resource":
        """Version and encode a draft, which may be what is left of other bytes, `source`."""
        # A changed TTL has to reach the client too.
        version = content_version(draft.packed + (b"" if draft.ttl is None else f"ttl={draft.ttl}".encode()))
        framed_packed = _FIELD_2 + varint(len(draft.packed))
        named = _named(draft.name, version, draft.ttl) + framed_packed
        return cls(
            type=draft.type,
            name=draft.name,
            version=version,
            references=draft.references,
            on_demand=draft.on_demand,
            ttl=draft.ttl,
            complaints=complaints,
            claims=claims,
            source=draft.packed if source is None else source,
            _packed=draft.packed,
            _sotw_head=framed_packed,
            _delta_head=_FIELD_2 + varint(len(named) + len(draft.packed)) + named,
        )

    @property
    def key(self) -> "Key":
        """Its type and name, which no other resource of a snapshot has."""
        return self.type, self.name

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

    def delta_as(self, aliases: Iterable[str]) -> tuple[bytes, bytes]:
        """Give the parts of an entry that says under which other names the client asked for it (P-084)."""
        named = DeltaResource(name=self.name, version=self.version, ttl=_ttl(self.ttl), aliases=aliases)
        head = named.SerializeToString() + self._sotw_head
        return _FIELD_2 + varint(len(head) + len(self._packed)) + head, self._packed

    @property
    def heartbeat(self) -> bytes:
        """A `resources` entry that only renews the TTL: a name and a version without a body (P-100)."""
        return _bare(DeltaResource(name=self.name, version=self.version, ttl=_ttl(self.ttl)))


Key: TypeAlias = tuple[TypeUrl, str]
Resources: TypeAlias = Mapping[TypeUrl, Table[Resource]]


def absent(name: str) -> bytes:
    """Give a `resources` entry without a body, which says that there is none of that name (P-084)."""
    return _bare(DeltaResource(name=name, aliases=[name]))


def _bare(entry: DeltaResource) -> bytes:
    encoded = entry.SerializeToString()
    return _FIELD_2 + varint(len(encoded)) + encoded


def _named(name: str, version: str, ttl: float | None) -> bytes:
    """Give a delta resource without a body, by hand: there is one for each resource of a start."""
    named = framed(_VERSION, version.encode()) + framed(_NAME, name.encode())
    return named if ttl is None else named + DeltaResource(ttl=_ttl(ttl)).SerializeToString()


def _ttl(seconds: float | None) -> Duration | None:
    return None if seconds is None else duration(seconds)
