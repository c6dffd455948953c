"""Clusters and assignments as translation writes them, recognised by their bytes.

There are thousands of each, and they differ in little: a name, addresses and ports. So these are cut out of
the bytes and looked at by themselves, and what is around them is held to Envoy's rules once. All that can be
said here is that nothing is wrong; of whatever is not recognised, `check` finds out what it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import SocketAddress
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.message import DecodeError, Message

from xds_server.model.types import TypeUrl
from xds_server.snapshot.check.endpoints import LARGEST_SUM, around_faults, is_address, too_many
from xds_server.snapshot.check.fields import broken
from xds_server.snapshot.check.meaning import meaning_faults
from xds_server.translate import dotted
from xds_server.translate.packing import Draft, content_of
from xds_server.translate.wire import framed, varint, varint_at

M = TypeVar("M", bound=Message)

_REMEMBERED: Final = 4096
_REMEMBERED_BYTES: Final = 4096

_LARGE: Final = 8_192
"""Bytes of endpoints, some 256, from which on they are looked at in blocks that are remembered."""

_REMEMBERED_BLOCKS: Final = 8_192
_LAST_OF_BLOCK: Final = ord("7")

# Tags: a length-delimited field 1 or 2, and `SocketAddress.port_value`.
_FIELD_1: Final = 0x0A
_FIELD_2: Final = 0x12
_PORT: Final = b"\x18"

_NAME: Final = bytes((_FIELD_1,))
"""Of the field with the name, which is the first one in both types; any text but an empty one is good."""

# An endpoint begins with the tags and lengths of the messages around its address: 12 n 0a n 0a n 0a n 12 n.
_HEAD: Final = 10
_SOCKET_LENGTH: Final = 7
_ADDRESS_LENGTH: Final = 9
_ONE_BYTE: Final = 0x7F

_LAST_PORTS: Final = {1: 127, 2: 16_383, 3: 65_535}
"""The largest port by the number of bytes that it takes."""


def is_plainly_good(made: Draft) -> bool:
    """Tell whether a draft is recognised, and breaks no rule. What is not recognised may be good as well."""
    recognise = _BY_TYPE.get(made.type)
    if recognise is None or not made.name:
        return False
    content = content_of(made.type, made.packed)
    try:
        named = framed(_NAME, made.name.encode())
        return content is not None and content.startswith(named) and recognise(content, len(named))
    except (IndexError, ValueError):
        return False


def _cluster(content: bytes, at: int) -> bool:
    rest = content[at:]
    return len(rest) <= _REMEMBERED_BYTES and _good_but_for_its_name(rest)


@lru_cache(maxsize=_REMEMBERED)
def _good_but_for_its_name(rest: bytes) -> bool:
    """Tell whether a cluster is good that is nothing but a name and this."""
    message = _read(Cluster, rest)
    if message is None or message.name:
        return False
    message.name = "any"
    return not broken(message) and not any(meaning_faults(TypeUrl.CLUSTER, message))


def _assignment(content: bytes, at: int) -> bool:
    return _Reading(content).is_good(at)


class _Reading:
    """Reads the bytes of one assignment. IndexError and ValueError mean that they are not as expected."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._taken: set[bytes] = set()
        self._count = 0
        self._weights = 0

    def is_good(self, at: int) -> bool:
        """Tell whether nothing is wrong from a place on, where the localities begin."""
        content, around = self._content, []
        while at < len(content) and content[at] == _FIELD_2:
            size, begin = varint_at(content, at + 1)
            at = begin + size
            if at > len(content):
                raise ValueError
            around.append(framed(b"\x12", self._locality(begin, at)))
        around.append(content[at:])
        once_each = len(self._taken) == self._count and not too_many(self._count)
        return once_each and self._weights <= LARGEST_SUM and _good_around(b"".join(around))

    def _locality(self, begin: int, end: int) -> bytes:
        """Read the endpoints of a locality; give the bytes of what is around them."""
        content, here = self._content, begin
        if content[here] == _FIELD_1:
            size, here = varint_at(content, here + 1)
            here += size
        head = content[begin:here]
        if end - here < _LARGE:
            here = self._take(_endpoints(content, here, end))
        else:
            for block in _blocks(content, here, end):
                here += self._take(_known_endpoints(block))
        if here > end:
            raise ValueError
        return head + content[here:end]

    def _take(self, found: "_Found") -> int:
        addresses, weights, stop = found
        self._taken.update(addresses)
        self._count += len(addresses)
        self._weights += weights
        return stop


_Found: TypeAlias = tuple[Sequence[bytes], int, int]
"""The addresses of endpoints with their ports, the sum of their weights, and the place after the last one."""


def _endpoints(content: bytes, here: int, end: int) -> _Found:
    """Read the endpoints from a place on; raise ValueError where one may be wrong."""
    addresses, weights = list[bytes](), 0
    while here < end and content[here] == _FIELD_2:
        address = here + _HEAD
        port = address + content[here + _ADDRESS_LENGTH]
        rest = here + _SOCKET_LENGTH + 1 + content[here + _SOCKET_LENGTH]
        stop = here + 2 + content[here + 1]
        weight, host = _weight(content[here:address], content[rest:stop]), content[address:port]
        if not (weight and _is_port(content[port:rest]) and (dotted.is_one(host) or _is_address(host))):
            raise ValueError
        weights += weight
        addresses.append(content[address:rest])
        here = stop
    return addresses, weights, here


@lru_cache(maxsize=_REMEMBERED_BLOCKS)
def _known_endpoints(block: bytes) -> _Found:
    return _endpoints(block, 0, len(block))


def _blocks(content: bytes, here: int, end: int) -> Iterator[bytes]:
    """Cut many endpoints into blocks, each after an address with a certain last digit.

    So where one comes or goes, all blocks but its own are the same as before.
    """
    begin = here
    while here < end and content[here] == _FIELD_2:
        last = content[here + _HEAD + content[here + _ADDRESS_LENGTH] - 1]
        here += 2 + content[here + 1]
        if last == _LAST_OF_BLOCK:
            yield content[begin:here]
            begin = here
    if begin < here:
        yield content[begin:here]


@lru_cache(maxsize=_REMEMBERED)
def _weight(head: bytes, rest: bytes) -> int:
    """Give the weight of an endpoint that begins and ends like this.

    0 where it may be wrong whatever IP address and port are between the two.
    """
    size = head[_ADDRESS_LENGTH]
    port = _LAST_PORTS.get(head[_SOCKET_LENGTH] - size - 3)
    if port is None or head[1] > _ONE_BYTE:
        return 0
    encoded = head[2:] + b"1" * size + _PORT + varint(port) + rest
    message = _read(LbEndpoint, encoded)
    if message is None or len(encoded) != head[1]:
        return 0
    socket = message.endpoint.address.socket_address
    as_expected = (socket.address, socket.port_value) == ("1" * size, port)
    if not as_expected or broken(message) or socket.protocol == SocketAddress.UDP:
        return 0
    return message.load_balancing_weight.value or 1


@lru_cache(maxsize=_REMEMBERED)
def _is_port(field: bytes) -> bool:
    """Tell whether this is a whole `port_value` of an endpoint that can be connected to."""
    if field[:1] != _PORT:
        return False
    port, end = varint_at(field, 1)
    return end == len(field) and 1 <= port <= max(_LAST_PORTS.values())


def _is_address(host: bytes) -> bool:
    return is_address(host.decode("ascii"))


@lru_cache(maxsize=_REMEMBERED)
def _good_around(encoded: bytes) -> bool:
    """Tell whether an assignment is good that is nothing but a name, good endpoints, and this."""
    message = _read(ClusterLoadAssignment, encoded)
    if message is None or message.cluster_name:
        return False
    if any(locality.lb_endpoints for locality in message.endpoints):
        return False
    message.cluster_name = "any"
    return not any(around_faults(message))


def _read(kind: type[M], encoded: bytes) -> M | None:
    """Read a message that is written as protobuf writes it; None for any other.

    In what is written otherwise, a field may be there twice, and what was cut out not be what counts.
    """
    try:
        message = kind.FromString(encoded)
    except DecodeError:
        return None
    return message if message.SerializeToString(deterministic=True) == encoded else None


_BY_TYPE: Final[Mapping[TypeUrl, Callable[[bytes, int], bool]]] = MappingProxyType(
    {TypeUrl.CLUSTER: _cluster, TypeUrl.ENDPOINTS: _assignment}
)
