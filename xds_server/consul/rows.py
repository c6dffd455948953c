"""One row of a health answer: its shape in JSON, and the Instance that it becomes; pure.

Unknown fields are skipped, and `null` is what Go makes of an empty list or map. Consul bounds Meta but
neither tags nor names, so they are bounded here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from xds_server.consul.text import shown
from xds_server.model.catalog import Check, Instance, Locality, Status, Weights

T = TypeVar("T")

MAX_ID: Final = 512
_MAX_ADDRESS: Final = 256  # far longer than any IP address, so cutting never makes a good one
_MAX_TAGS: Final = 64
_MAX_TAG: Final = 256
_MAX_TAGGED: Final = 64
# Consul's own limits of Meta.
_MAX_META: Final = 64
_MAX_META_KEY: Final = 128
_MAX_META_VALUE: Final = 512

# Integers beyond 64 bits would become Python's unbounded ones.
_Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_MAINTENANCE: Final = ("_node_maintenance", "_service_maintenance")
_STATUS: Final = {"passing": Status.PASSING, "warning": Status.WARNING, "maintenance": Status.MAINTENANCE}
# What a decoder raises for bytes that are not what they should be, besides RecursionError.
_BAD: Final = (msgspec.DecodeError, UnicodeDecodeError)


class _Locality(msgspec.Struct):
    Region: str | None = None
    Zone: str | None = None


class _Tagged(msgspec.Struct):
    Address: str
    Port: _Int = 0


class _Weights(msgspec.Struct):
    Passing: _Int = 1
    Warning: _Int = 1


class _Check(msgspec.Struct):
    CheckID: str | None = None
    Status: str | None = None


class _Node(msgspec.Struct):
    Node: str
    Address: str | None = None
    Datacenter: str | None = None
    Meta: dict[str, str] | None = None
    Locality: _Locality | None = None


class _Service(msgspec.Struct):
    Service: str
    ID: str | None = None
    Kind: str | None = None
    Address: str | None = None
    Port: _Int | None = None
    Tags: list[str] | None = None
    Meta: dict[str, str] | None = None
    Weights: _Weights | None = None
    Locality: _Locality | None = None
    # Garbage in these two does no harm, so they are read on their own.
    TaggedAddresses: msgspec.Raw = msgspec.Raw(b"null")
    ModifyIndex: msgspec.Raw = msgspec.Raw(b"0")


class Row(msgspec.Struct):
    """What is read of a row; the field names are Consul's."""

    Node: _Node
    Service: _Service
    Checks: list[_Check] | None = None


decode_row: Final = msgspec.json.Decoder(Row).decode
_tagged: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_tagged_one: Final = msgspec.json.Decoder(_Tagged).decode
_index: Final = msgspec.json.Decoder(_Int).decode


def instance_of(row: Row, index: int) -> tuple[Instance, list[str]]:
    """Give the instance of a row, and words for what was cut off it."""
    node, service = row.Node, row.Service
    cuts: list[str] = []
    tags = _within(
        "tags", sorted(service.Tags or ()), lambda tag: len(tag.encode()) <= _MAX_TAG, _MAX_TAGS, cuts
    )
    meta = _within(
        "Meta",
        sorted((service.Meta or {}).items()),
        lambda pair: len(pair[0]) <= _MAX_META_KEY and len(pair[1]) <= _MAX_META_VALUE,
        _MAX_META,
        cuts,
    )
    weights = service.Weights or _Weights()
    instance = Instance(
        node=node.Node,
        id=service.ID or "",
        address=(service.Address or node.Address or "")[:_MAX_ADDRESS],
        port=service.Port or 0,
        tagged=_tagged_addresses(service.TaggedAddresses),
        tags=tags,
        meta=meta,
        weights=Weights(passing=weights.Passing, warning=weights.Warning),
        checks=tuple(sorted(_check(check) for check in row.Checks or ())),
        datacenter=(node.Datacenter or "")[:MAX_ID],
        locality=_locality(row),
        index=index,
    )
    return instance, cuts


def _check(check: _Check) -> Check:
    check_id = (check.CheckID or "")[:MAX_ID]
    if check_id.partition(":")[0] in _MAINTENANCE:
        return Check(id=check_id, status=Status.MAINTENANCE)
    return Check(id=check_id, status=_STATUS.get(check.Status or "", Status.CRITICAL))


def _locality(row: Row) -> Locality:
    """Consul's own Locality (newer versions) of the service, else of the node, else the node's Meta."""
    for given in (row.Service.Locality, row.Node.Locality):
        if given is not None and (given.Region or given.Zone):
            return Locality(region=_cut(given.Region), zone=_cut(given.Zone))
    meta = row.Node.Meta or {}
    return Locality(
        region=_cut(meta.get("region")), zone=_cut(meta.get("zone")), sub_zone=_cut(meta.get("sub_zone"))
    )


def _cut(text: str | None) -> str:
    return (text or "")[:_MAX_META_KEY]


def _tagged_addresses(raw: msgspec.Raw) -> tuple[tuple[str, str, int], ...]:
    """Give the tagged addresses that can be read; they are extras, so the others are no problem."""
    by_tag = attempt(_tagged, raw)
    if isinstance(by_tag, Failure):
        return ()
    result = []
    for tag in sorted(by_tag)[:_MAX_TAGGED]:
        one = attempt(_tagged_one, by_tag[tag])
        if not isinstance(one, Failure) and len(tag) <= _MAX_TAG:
            result.append((tag, one.Address[:_MAX_ADDRESS], one.Port))
    return tuple(result)


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
    return kept


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
