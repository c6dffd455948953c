"""The shape in JSON of a row of a health answer; the field names are Consul's.

https://developer.hashicorp.com/consul/api-docs/health#list-service-instances-for-service . Unknown fields are
skipped, and `null` is what Go makes of an empty list or map.
"""

from typing import Annotated, Final

import msgspec

# Integers beyond 64 bits would become Python's unbounded ones.
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
NULL: Final = msgspec.Raw(b"null")


class LocalityShape(msgspec.Struct):
    """Where a service or a node is (Consul 1.17)."""

    Region: str | None = None
    Zone: str | None = None


class TaggedShape(msgspec.Struct):
    """A tagged address of a service."""

    Address: str
    Port: Integer = 0


class NodeTaggedShape(msgspec.Struct):
    """The tagged addresses of a node."""

    wan: str | None = None


class WeightsShape(msgspec.Struct):
    """The weights of a service."""

    Passing: Integer = 1
    Warning: Integer = 1


class CheckShape(msgspec.Struct):
    """A check of a service or its node."""

    CheckID: str | None = None
    Status: str | None = None


class NodeShape(msgspec.Struct):
    """The node."""

    Node: str
    Address: str | None = None
    Datacenter: str | None = None
    Meta: dict[str, str] | None = None
    Locality: LocalityShape | None = None
    TaggedAddresses: msgspec.Raw = NULL


class PortShape(msgspec.Struct):
    """A named port of a service with several (Consul 1.22)."""

    Name: str
    Port: Integer
    Default: bool = False


class ServiceShape(msgspec.Struct):
    """The service. Garbage in what is `Raw` does no harm, so that is read on its own."""

    Service: str
    ID: str | None = None
    Kind: str | None = None
    Address: str | None = None
    Port: Integer | msgspec.UnsetType | None = msgspec.UNSET
    Tags: list[str] | None = None
    Meta: dict[str, str] | None = None
    Weights: WeightsShape | None = None
    Locality: LocalityShape | None = None
    TaggedAddresses: msgspec.Raw = NULL
    Ports: msgspec.Raw = NULL
    CreateIndex: msgspec.Raw = msgspec.Raw(b"0")
    ModifyIndex: msgspec.Raw = msgspec.Raw(b"0")


class Row(msgspec.Struct):
    """What is read of a row."""

    Node: NodeShape
    Service: ServiceShape
    Checks: list[CheckShape] | None = None


_row: Final = msgspec.json.Decoder(Row).decode


def decode_row(raw: bytes | msgspec.Raw) -> Row:
    """Read a row. Raises `msgspec.DecodeError`.

    Consul always tells the port, 0 if it has none, or several ports: a row with neither has lost something
    on its way, and its instance must not be taken for one without a port.
    """
    row = _row(raw)
    if row.Service.Port is msgspec.UNSET and bytes(row.Service.Ports) == bytes(NULL):
        raise msgspec.ValidationError("Object missing required field `Port` - at `$.Service`")
    return row
