"""Responses, put together once for all streams that are sent the same.

What streams at one snapshot are sent does not differ, not even in its nonce: that is made of the snapshot's
number and of how many responses the stream was given at it. So a change that goes out to a thousand streams
is one value of bytes, joined once.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import ControlPlane
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse

from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.protocol.messages import Response
from xds_server.protocol.recent import Recent
from xds_server.snapshot import Resource

_ROOM: Final = 8 * 1024 * 1024
"""Bytes of responses that are kept for the next stream."""

_OVERHEAD: Final = 1024
_NONCES: Final = 2
"""Of how many nonces the bytes of one response are kept."""

_FEW: Final = 64
"""Resources that are told from others one by one: streams that name them may each have their own table."""

_NOT_FOUND: Final = 5
"""The gRPC status code of what is not there."""


class Message:
    """What is said in a response: all but its nonce, and who says it."""

    __slots__ = ("_head", "_made", "_parts", "resources", "type", "version")

    def __init__(self, head: Any, resources: Mapping[str, Resource], parts: Iterable[bytes]) -> None:
        """Take the response without its resources, and these both as values and as encoded `parts`."""
        self.type = TypeUrl(head.type_url)
        self.version: str = getattr(head, "version_info", "")
        self.resources = resources
        self._head = head
        self._parts = tuple(parts)
        self._made: dict[tuple[str, str | None], Response] = {}

    @property
    def size(self) -> int:
        """The bytes of its resources."""
        return sum(map(len, self._parts))

    def response(self, nonce: str, identifier: str | None) -> Response:
        """Give the response with a nonce, and with this server's identity unless that is None (P-014)."""
        known = self._made.get((nonce, identifier))
        if known is not None:
            return known
        while len(self._made) >= _NONCES:
            del self._made[next(iter(self._made))]
        head = type(self._head)(nonce=nonce)
        head.MergeFrom(self._head)
        if identifier is not None:
            head.control_plane.CopyFrom(ControlPlane(identifier=identifier))
        # Protobuf messages concatenate: the rest of it is the resources.
        payload = b"".join((head.SerializeToString(), *self._parts))
        made = Response(type=self.type, version=self.version, nonce=nonce, payload=payload)
        self._made[nonce, identifier] = made
        return made


_MESSAGES: Final = Recent[Message](_ROOM)


def delta(
    type_url: TypeUrl, sequence: int, resources: Mapping[str, Resource], removed: Iterable[str] = ()
) -> Message:
    """Give what a delta stream is sent at the snapshot of that sequence."""
    gone = tuple(removed)
    key = "delta", type_url, sequence, _identity(resources), gone
    known = _MESSAGES.get(key)
    if known is not None:
        return known
    head = delta_head(type_url, sequence, gone)
    made = Message(head, resources, (part for one in resources.values() for part in one.delta))
    return _MESSAGES.put(key, made, made.size + _OVERHEAD)


def delta_head(type_url: TypeUrl, sequence: int, removed: Iterable[str]) -> DeltaDiscoveryResponse:
    """Give a response without its resources."""
    # P-083: the number of the snapshot is for people; the versions that count are those of the resources.
    return DeltaDiscoveryResponse(
        system_version_info=str(sequence), type_url=type_url, removed_resources=removed
    )


def sotw(
    type_url: TypeUrl, version: str, resources: Mapping[str, Resource], missing: Iterable[str] = ()
) -> Message:
    """Give what a SotW stream is sent; `missing` are names to be said not to exist (P-105)."""
    absent = tuple(missing)
    key = "sotw", type_url, version, _identity(resources), absent
    known = _MESSAGES.get(key)
    if known is not None:
        return known
    head = DiscoveryResponse(version_info=version, type_url=type_url)
    for name in absent:
        error = head.resource_errors.add()
        error.resource_name.name = name
        error.error_detail.code = _NOT_FOUND
        error.error_detail.message = f"there is no {type_url.short} {name}"
    made = Message(head, resources, (part for one in resources.values() for part in one.sotw))
    return _MESSAGES.put(key, made, made.size + _OVERHEAD)


def _identity(resources: Mapping[str, Resource]) -> object:
    """Tell resources from all others, for as long as they are kept; a large table by what it is itself."""
    if isinstance(resources, Table) and len(resources) > _FEW:
        return id(resources)
    return tuple(map(id, resources.values()))
