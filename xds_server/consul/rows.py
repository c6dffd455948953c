"""The Instance that a row of a health answer becomes; pure.

Consul bounds Meta but neither tags nor names, so they are bounded here.
"""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from xds_server.consul.row_shape import (
    NULL,
    CheckShape,
    Integer,
    NodeShape,
    NodeTaggedShape,
    PortShape,
    Row,
    TaggedShape,
    WeightsShape,
)
from xds_server.consul.text import shown
from xds_server.model.catalog import Instance, Locality, Status, Weights

T = TypeVar("T")

MAX_ID: Final = 512
_MAX_ADDRESS: Final = 256  # far longer than any IP address, so cutting never makes a good one
_MAX_TAGS: Final = 64
_MAX_TAG: Final = 256
_MAX_TAGGED: Final = 64
_MAX_PORTS: Final = 64
# A DNS label; it becomes part of the name of a cluster.
_PORT_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
# Consul's own limits of Meta.
_MAX_META: Final = 64
_MAX_META_KEY: Final = 128
_MAX_META_VALUE: Final = 512

# Most instances of a catalog say the same in most fields: equal values become one object. What is larger than
# this is seldom said twice.
_SHARED: Final = 4096
_MOST_SHARED: Final = 8

_MAINTENANCE: Final = ("_node_maintenance", "_service_maintenance")
_STATUS: Final = {"passing": Status.PASSING, "warning": Status.WARNING, "maintenance": Status.MAINTENANCE}
# What a decoder raises for bytes that are not what they should be, besides RecursionError.
_BAD: Final = (msgspec.DecodeError, UnicodeDecodeError)


_tagged: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_tagged_one: Final = msgspec.json.Decoder(TaggedShape).decode
_node_tagged: Final = msgspec.json.Decoder(NodeTaggedShape | None).decode
_port_list: Final = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_port_one: Final = msgspec.json.Decoder(PortShape).decode
_index: Final = msgspec.json.Decoder(Integer).decode


def instance_of(row: Row, index: int) -> tuple[Instance, list[str]]:
    """Give the instance of a row, and words for what was cut off it."""
    node, service = row.Node, row.Service
    cuts: list[str] = []
    tags = _within(
        "tags", sorted(service.Tags or ()), lambda tag: len(tag.encode()) <= _MAX_TAG, _MAX_TAGS, cuts
    )
    meta = _meta("Meta", service.Meta, cuts)
    cut = bool(cuts)
    ports, default = _ports(service.Ports, cuts)
    weights = service.Weights or WeightsShape()
    created = number(service.CreateIndex)
    instance = Instance(
        node=sys.intern(node.Node),
        id=service.ID or "",
        address=_address(service.Address, node.Address),
        port=_shared(service.Port or default),
        tagged=_tagged_addresses(row),
        tags=tags,
        meta=meta,
        weights=_shared(Weights(passing=weights.Passing, warning=weights.Warning)),
        statuses=_statuses(row.Checks or ()),
        node_meta=_meta("node's Meta", node.Meta, cuts),
        ports=ports,
        datacenter=sys.intern((node.Datacenter or "")[:MAX_ID]),
        locality=_locality(row),
        created=index if created == index else created,
        cut=cut,
        index=index,
    )
    return instance, cuts


@lru_cache(maxsize=_SHARED)
def _shared(value: T) -> T:
    """Give the first of equal values."""
    return value


def _address(own: str | None, node: str | None) -> str:
    """Give the address of an instance; that of its node is one object for all instances there."""
    if own and own != node:
        return own[:_MAX_ADDRESS]
    return sys.intern((node or "")[:_MAX_ADDRESS])


def _meta(word: str, meta: dict[str, str] | None, cuts: list[str]) -> tuple[tuple[str, str], ...]:
    return _within(
        word,
        sorted((meta or {}).items()),
        lambda pair: len(pair[0]) <= _MAX_META_KEY and len(pair[1]) <= _MAX_META_VALUE,
        _MAX_META,
        cuts,
    )


def _ports(raw: msgspec.Raw, cuts: list[str]) -> tuple[tuple[tuple[str, int], ...], int]:
    """Give the named ports of a service with several (Consul 1.22), and which of them is the default.

    Without one that is marked, that is the first, as Consul has it.
    """
    if raw is NULL:
        return (), 0
    read = attempt(_port_list, raw)
    if isinstance(read, Failure):
        cuts.append("its Ports are")
        return (), 0
    ones = [one for each in read or () if not isinstance(one := attempt(_port_one, each), Failure)]
    named = {one.Name: one.Port for one in reversed(ones) if _PORT_NAME.fullmatch(one.Name)}
    kept = _within("Ports", sorted(named.items()), lambda _: True, _MAX_PORTS, cuts)
    if len(named) < len(read or ()):
        cuts.append(f"{len(read or ()) - len(named)} of its Ports are")
    marked = [one.Port for one in ones if one.Default] or [one.Port for one in ones]
    return kept, marked[0] if marked else 0


def _statuses(checks: Iterable[CheckShape]) -> tuple[Status, ...]:
    found: tuple[Status, ...] = _shared(tuple(sorted({_status(check) for check in checks})))
    return found


def _status(check: CheckShape) -> Status:
    if (check.CheckID or "").partition(":")[0] in _MAINTENANCE:
        return Status.MAINTENANCE
    return _STATUS.get(check.Status or "", Status.CRITICAL)


def _locality(row: Row) -> Locality:
    """Consul's own Locality (newer versions) of the service, else of the node, else the node's Meta."""
    meta = row.Node.Meta or {}
    found = Locality(
        region=_cut(meta.get("region")), zone=_cut(meta.get("zone")), sub_zone=_cut(meta.get("sub_zone"))
    )
    for given in (row.Node.Locality, row.Service.Locality):
        if given is not None and (given.Region or given.Zone):
            found = Locality(region=_cut(given.Region), zone=_cut(given.Zone))
    shared: Locality = _shared(found)
    return shared


def _cut(text: str | None) -> str:
    return (text or "")[:_MAX_META_KEY]


def _tagged_addresses(row: Row) -> tuple[tuple[str, str, int], ...]:
    """Give the tagged addresses that can be read; they are extras, so the others are no problem.

    Where a service has no address of its own, its node's address for the WAN is the service's as well.
    """
    read = attempt(_tagged, row.Service.TaggedAddresses)
    by_tag = {} if isinstance(read, Failure) else read
    result = {}
    for tag in sorted(by_tag)[:_MAX_TAGGED]:
        one = attempt(_tagged_one, by_tag[tag])
        if not isinstance(one, Failure) and len(tag) <= _MAX_TAG:
            result[tag] = (one.Address[:_MAX_ADDRESS], one.Port)
    wan = "" if row.Service.Address else _node_wan(row.Node)
    if wan and wan != row.Node.Address:
        result.setdefault("wan", (wan[:_MAX_ADDRESS], 0))
    return tuple((tag, *result[tag]) for tag in sorted(result))


def _node_wan(node: NodeShape) -> str:
    read = attempt(_node_tagged, node.TaggedAddresses)
    return "" if isinstance(read, Failure) or read is None else read.wan or ""


def number(raw: msgspec.Raw) -> int:
    """Read an integer that is of use only if it is one; 0 otherwise."""
    number = attempt(_index, raw)
    return 0 if isinstance(number, Failure) else number


def _within(
    word: str, items: list[T], fits: Callable[[T], bool], count: int, cuts: list[str]
) -> tuple[T, ...]:
    """Give the first `count` items that fit, and say in `cuts` how many do not."""
    kept = tuple([item for item in items if fits(item)][:count])
    if len(kept) < len(items):
        cuts.append(f"{len(items) - len(kept)} of its {word} are")
    return _shared(kept) if len(kept) <= _MOST_SHARED else kept


@dataclass(frozen=True, slots=True)
class Failure:
    """Why bytes could not be decoded, fit for a sentence."""

    why: str


def attempt(decode: Callable[[bytes | msgspec.Raw], T], raw: bytes | msgspec.Raw) -> T | Failure:
    """Decode; foreign exceptions become a value with a short reason here and nowhere else."""
    try:
        return decode(raw)
    except RecursionError:
        return Failure("it is nested too deeply")
    except _BAD as error:
        return Failure(shown(str(error))[1:-1])
