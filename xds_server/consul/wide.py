"""What an answer about all services says of each, as digests to compare with those before; pure.

Which write shows in which answer was seen on Consul 1.8.7 (`docs/consul.md`, "What a write moves"). These
answers only ever say which services to read again: nothing in them is believed, so nothing in them can harm.

Answers: https://developer.hashicorp.com/consul/api-docs/catalog#list-services and #list-nodes, and
https://developer.hashicorp.com/consul/api-docs/health#list-checks-in-state .
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from xds_server.consul.errors import Unreadable
from xds_server.consul.rows import Failure, attempt


class _CheckRow(msgspec.Struct, gc=False):
    Node: str = ""
    CheckID: str = ""
    Status: str = ""
    ServiceID: str = ""
    ServiceName: str = ""
    CreateIndex: int = 0


class _NodeRow(msgspec.Struct, gc=False):
    """The parts of a node that its instances take over."""

    Node: str
    Address: msgspec.Raw = msgspec.Raw(b"")
    Datacenter: msgspec.Raw = msgspec.Raw(b"")
    Meta: msgspec.Raw = msgspec.Raw(b"")
    Locality: msgspec.Raw = msgspec.Raw(b"")


_checks: Final = msgspec.json.Decoder(list[_CheckRow]).decode
_nodes: Final = msgspec.json.Decoder(list[_NodeRow]).decode
_tags: Final = msgspec.json.Decoder(dict[str, frozenset[str] | None]).decode
_NO_TAGS: Final = frozenset[str]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What an answer says, by service and by node: numbers that differ where the answers do.

    They are this process's own.
    """

    services: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The services that an answer names as changed, and the nodes of which all services may have."""

    services: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()


def changed(old: Digests, new: Digests) -> Changed:
    """Give what differs between two answers to one question."""
    return Changed(
        services=frozenset(name for name, _ in old.services.items() ^ new.services.items()),
        nodes=frozenset(name for name, _ in old.nodes.items() ^ new.nodes.items()),
    )


def digest_tags(body: bytes) -> Digests:
    """Read the list of services with their tags, whose order means nothing. Raises Unreadable."""
    tags = attempt(_tags, body)
    if isinstance(tags, Failure):
        raise _unreadable("list of services", tags)
    return Digests(services={name: hash(given or _NO_TAGS) for name, given in tags.items()})


def digest_checks(body: bytes) -> Digests:
    """Read a list of checks: which there are of each service and of each node, in which status.

    Output is left out, as it changes without meaning. A check of a node belongs to no service. Raises
    Unreadable.
    """
    rows = attempt(_checks, body)
    if isinstance(rows, Failure):
        raise _unreadable("list of checks", rows)
    services: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for row in rows:
        digests, name = (services, row.ServiceName) if row.ServiceName else (nodes, row.Node)
        one = hash((row.Node, row.ServiceID, row.CheckID, row.Status, row.CreateIndex))
        digests[name] = digests.get(name, 0) + one
    return Digests(services=services, nodes=nodes)


def digest_nodes(body: bytes) -> Digests:
    """Read the list of nodes: what instances take over from theirs. Raises Unreadable."""
    rows = attempt(_nodes, body)
    if isinstance(rows, Failure):
        raise _unreadable("list of nodes", rows)
    return Digests(
        nodes={
            row.Node: hash(tuple(map(bytes, (row.Address, row.Datacenter, row.Meta, row.Locality))))
            for row in rows
        }
    )


def _unreadable(what: str, failure: Failure) -> Unreadable:
    return Unreadable(f"Consul's {what} cannot be read ({failure.why}): see what answers there.")
