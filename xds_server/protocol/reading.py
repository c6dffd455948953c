"""Reading requests: what many clients say in the same bytes is read once.

Nonces are the same for all streams that are sent the same, so the ACKs of clients of one kind are the same
bytes, names and all. And clients that come back say the same of what they have; only the node tells the first
requests of two streams apart, so it is read by itself.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from xds_server.protocol.claims import shared_claims
from xds_server.protocol.limits import check_claims
from xds_server.protocol.names import NO_NAMES, Names, shared
from xds_server.protocol.payload import varint
from xds_server.protocol.recent import Recent

_ROOM: Final = 8 * 1024 * 1024
"""Bytes that the known requests take at a time; a larger one is read each time."""

_OVERHEAD: Final = 256
_NAME: Final = 128
"""Bytes that a request, and each name in it, takes besides its own."""

_FIRST_FIELD: Final = 0x0A
"""The tag of the first field: `node` in delta, and in SotW `version_info`, which the node follows."""

_SECOND_FIELD: Final = 0x12

_NO_CLAIMS: Final[Mapping[str, str]] = MappingProxyType({})
_NONE: Final = frozenset[str]()


class Request:
    """A request of either variant that names no node and rejects nothing, as all have it who say the same."""

    __slots__ = (
        "initial_resource_versions",
        "resource_names",
        "resource_names_subscribe",
        "resource_names_unsubscribe",
        "response_nonce",
        "type_url",
        "version_info",
    )

    def __init__(self, request: Any) -> None:
        self.type_url: str = request.type_url
        self.response_nonce: str = request.response_nonce
        self.version_info = ""
        self.resource_names: Names = NO_NAMES
        self.resource_names_subscribe = self.resource_names_unsubscribe = _NONE
        self.initial_resource_versions = _NO_CLAIMS
        if isinstance(request, DiscoveryRequest):
            self.version_info = request.version_info
            self.resource_names = shared(request.resource_names)
            return
        self.resource_names_subscribe = frozenset(request.resource_names_subscribe) or _NONE
        self.resource_names_unsubscribe = frozenset(request.resource_names_unsubscribe) or _NONE
        if request.initial_resource_versions:
            self.initial_resource_versions = shared_claims(request.initial_resource_versions)

    @property
    def size(self) -> int:
        """About how many bytes it takes, besides those of its names."""
        names = len(self.resource_names) + len(self.initial_resource_versions)
        names += len(self.resource_names_subscribe) + len(self.resource_names_unsubscribe)
        return _OVERHEAD + _NAME * names

    def HasField(self, _: str) -> bool:  # noqa: N802 - as protobuf calls it
        """Tell that no message is in it."""
        return False


def read(request: Any, payload: bytes) -> tuple[Node | None, Any]:
    """Give the node that bytes hold, if any, and the request of this message class, or what has its fields.

    Raises DecodeError where they hold none, and TooMuchError where it lists more than a client may have.
    """
    start, end = _node(request, payload)
    if start == end:
        return _shared(request, payload)
    # Messages concatenate: what is before the node and what comes after it is a message, and so is the node.
    node, rest = _shared(request, payload[:start] + payload[end:])
    apart = request.FromString(payload[start:end]).node
    if node is not None:
        apart.MergeFrom(node)
    return apart, rest


def _node(request: Any, payload: bytes) -> tuple[int, int]:
    """Give where the node begins and ends, if there is one where protobuf puts it."""
    at, tag = 0, _FIRST_FIELD
    if request is DiscoveryRequest:
        tag = _SECOND_FIELD
        if payload[:1] == _FIRST_FIELD.to_bytes():
            at = _end_of_field(payload, at)
    return (at, _end_of_field(payload, at)) if payload[at : at + 1] == tag.to_bytes() else (at, at)


def _end_of_field(payload: bytes, at: int) -> int:
    size, start = varint(payload, at + 1)
    return start + size


def _shared(request: Any, payload: bytes) -> tuple[Node | None, Any]:
    known = _READ.get((request, payload))
    if known is not None:
        return None, known
    found = request.FromString(payload)
    check_claims(getattr(found, "initial_resource_versions", _NO_CLAIMS))
    if found.HasField("node") or found.HasField("error_detail"):
        return (found.node if found.HasField("node") else None), found
    made = Request(found)
    size = 2 * len(payload) + made.size
    return None, _READ.put((request, payload), made, size) if size < _ROOM else made


_READ: Final = Recent[Request](_ROOM)
"""Requests by message class and bytes."""
