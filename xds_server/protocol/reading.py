"""Reading requests: what many clients say in the same bytes is read once.

Nonces are the same for all streams that are sent the same, and so are the ACKs of clients of one kind.
To find one among those that were read takes a tenth of reading it and looking for what it must not hold.

An ACK of endpoints carries the names of all clusters, in the same bytes each time, and in the same as from
other clients of that kind. Reading 1,000 of them takes ten times what the rest of the ACK does; to see that
they are the same bytes takes next to nothing.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from xds_server.protocol.names import Names, shared
from xds_server.protocol.payload import varint
from xds_server.protocol.recent import Recent

_WORTH_IT: Final = 2 * 1024
"""Bytes of a request below which it is read as it is."""

_ROOM: Final = 2 * 1024 * 1024
"""Bytes of names that are known at a time; longer ones are read each time."""

_MOST: Final = 16
"""Lists of names that are known at a time, as each is compared."""

_BEFORE_NAMES: Final = (0x0A, 0x12)
"""The tags of the fields that come before the names: `version_info` and `node`."""


class Repeated:
    """A SotW request whose names were read before; everything else is in `message`."""

    __slots__ = ("message", "resource_names")

    def __init__(self, message: DiscoveryRequest, resource_names: Names) -> None:
        self.message = message
        self.resource_names = resource_names

    def __getattr__(self, field: str) -> Any:
        return getattr(self.message, field)


class Acknowledgement:
    """A request that says which response its client accepts, and what it subscribes to as before.

    It names no node, no error, and in delta no resource.
    """

    __slots__ = ("resource_names", "response_nonce", "type_url", "version_info")

    resource_names_subscribe: Final = ()
    resource_names_unsubscribe: Final = ()
    initial_resource_versions: Final[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, request: Any) -> None:
        self.type_url: str = request.type_url
        self.response_nonce: str = request.response_nonce
        self.version_info: str = getattr(request, "version_info", "")
        self.resource_names: Iterable[str] = shared(getattr(request, "resource_names", ()))

    def HasField(self, _: str) -> bool:  # noqa: N802 - as protobuf calls it
        """Tell that no message is in it."""
        return False


def read(request: Any, payload: bytes) -> Any:
    """Give the request of this message class that bytes hold, or what has its fields.

    Raises DecodeError where they hold none.
    """
    known = _READ.get((request, payload)) if len(payload) < _WORTH_IT else None
    return _read(request, payload) if known is None else known


def _read(request: Any, payload: bytes) -> Any:
    if len(payload) < _WORTH_IT:
        found = request.FromString(payload)
        if _is_acknowledgement(found):
            return _READ.put((request, payload), Acknowledgement(found), len(payload))
        return found
    if request is not DiscoveryRequest:
        return request.FromString(payload)
    at = _start_of_names(payload)
    for block, names in _BLOCKS.values():
        if payload.startswith(block, at):
            # Messages concatenate: what is before the names and what comes after them is a message, too.
            rest = DiscoveryRequest.FromString(payload[:at] + payload[at + len(block) :])
            if not rest.resource_names:
                return Repeated(rest, names)
    return _read_anew(payload, at)


def _is_acknowledgement(request: Any) -> bool:
    if not request.response_nonce or request.HasField("node") or request.HasField("error_detail"):
        return False
    if isinstance(request, DiscoveryRequest):
        return not request.resource_locators
    return not (
        request.resource_names_subscribe
        or request.resource_names_unsubscribe
        or request.initial_resource_versions
        or request.resource_locators_subscribe
        or request.resource_locators_unsubscribe
    )


def _start_of_names(payload: bytes) -> int:
    """Give where the names begin, if the fields are in order."""
    at, end = 0, len(payload)
    while at < end and payload[at] in _BEFORE_NAMES:
        size, at = varint(payload, at + 1)
        at += size
    return at


def _read_anew(payload: bytes, at: int) -> Any:
    found = DiscoveryRequest.FromString(payload)
    block = DiscoveryRequest(resource_names=found.resource_names).SerializeToString()
    if payload.startswith(block, at) and _WORTH_IT // 2 <= len(block) <= _ROOM:
        names = shared(found.resource_names)
        _BLOCKS.put((hash(block),), (block, names), max(len(block), _ROOM // _MOST))
        return Repeated(found, names)
    return found


_BLOCKS: Final = Recent[tuple[bytes, Names]](_ROOM)
"""Names as they stand in requests, and what they are."""

_READ: Final = Recent[Acknowledgement](_ROOM // 16)
"""Acknowledgements by message class and bytes."""
