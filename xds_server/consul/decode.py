"""Consul's JSON becomes model values; pure.

Each row of a health answer is decoded on its own, so that a bad one costs itself only and is a Problem.
Answers: https://developer.hashicorp.com/consul/api-docs/catalog#list-services and
https://developer.hashicorp.com/consul/api-docs/health#list-service-instances-for-service .
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from xds_server.consul.errors import Unreadable
from xds_server.consul.row_shape import Row, decode_row
from xds_server.consul.rows import MAX_ID, Failure, attempt, instance_of, number
from xds_server.consul.text import shown
from xds_server.model.catalog import Instance, Service, is_service_name
from xds_server.model.problem import Code, Problem

MAX_PROBLEMS: Final = 50  # of one answer; a last one counts the rest

_names: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_rows: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAnswer:
    """What a health answer says of one service.

    `rows` counts all rows, `unreadable` those that are no rows at all. `proxied` is True if every row that
    could be read is of another kind than a plain service (a sidecar, a gateway): then it is nobody's target.
    """

    service: Service
    problems: tuple[Problem, ...]
    rows: int
    unreadable: int
    proxied: bool
    datacenter: str


def decode_services(body: bytes) -> frozenset[str]:
    """Give the names in an answer of `/v1/catalog/services`; raise Unreadable if it is no such answer."""
    decoded = attempt(_names, body)
    if isinstance(decoded, Failure):
        raise Unreadable(f"Consul's list of services cannot be read ({decoded.why}): see what answers there.")
    return frozenset(decoded)


def choose_names(names: Iterable[str], hidden: frozenset[str]) -> tuple[frozenset[str], tuple[Problem, ...]]:
    """Give the names that may be asked for, and a problem for each that may not meet a URL.

    Consul takes any name: `zz/../payments` would answer with the rows of `payments`, and one with a newline
    can never be read.
    """
    names = frozenset(names) - hidden
    allowed = frozenset(name for name in names if is_service_name(name))
    problems = [
        Problem(
            code=Code.SERVICE_NAME,
            source=f"consul service {shown(name)}",
            sentence="the name may hold letters, digits, `.`, `_` and `-` only, 128 at the most, and begin "
            "and end with a letter or digit; the service is left out: register it under another name.",
        )
        for name in sorted(names - allowed)
    ]
    return allowed, _capped(problems, Code.SERVICE_NAME, "consul services")


def decode_service(name: str, body: bytes, datacenter: str = "") -> ServiceAnswer:
    """Read an answer of `/v1/health/service/<name>`.

    Rows of another service, of another datacenter than `datacenter` (any, if it is empty; then the first
    row's) and second rows of one node and id are left out with a problem. Raises Unreadable if the answer
    as a whole is not a list.
    """
    raw_rows = attempt(_rows, body)
    if isinstance(raw_rows, Failure):
        raise Unreadable(
            f"Consul's answer for service {shown(name)} cannot be read ({raw_rows.why}): "
            "see what answers there."
        )
    reader = _Reader(name, datacenter)
    for raw in raw_rows:
        reader.read(raw)
    return ServiceAnswer(
        service=Service.of(name, reader.instances.values()),
        problems=_capped(reader.problems, Code.SERVICE_ROW, f"consul service {shown(name)}"),
        rows=len(raw_rows),
        unreadable=reader.unreadable,
        proxied=reader.other_kinds > 0 and not reader.instances,
        datacenter=reader.datacenter,
    )


class _Reader:
    """Gathers the rows of one answer."""

    def __init__(self, name: str, datacenter: str) -> None:
        self.name = name
        self.datacenter = datacenter
        self.instances: dict[tuple[str, str], Instance] = {}
        self.problems: list[Problem] = []
        self.unreadable = 0
        self.other_kinds = 0

    def read(self, raw: msgspec.Raw) -> None:
        row = attempt(decode_row, raw)
        if isinstance(row, Failure):
            self.unreadable += 1
            self._problem(_source_of(self.name, raw), f"the row cannot be read ({row.why}); it is left out")
            return
        index = number(row.Service.ModifyIndex)
        if refusal := self._refusal(row):
            self._problem(_source_of_row(self.name, row), refusal, index)
            return
        if row.Service.Kind:
            self.other_kinds += 1
            return
        self.datacenter = self.datacenter or row.Node.Datacenter or ""
        instance, cuts = instance_of(row, index)
        self.instances[instance.node, instance.id] = instance
        if cuts:
            sentence = f"{', '.join(cuts)} beyond the limits; the instance goes on without"
            self._problem(_source_of_row(self.name, row), sentence, index)

    def _refusal(self, row: Row) -> str:
        """Tell why a row that can be read is left out; empty if it is not."""
        node, service = row.Node, row.Service
        if service.Service != self.name:
            return f"the row is of service {shown(service.Service)}, which was not asked for; it is left out"
        if self.datacenter and node.Datacenter and node.Datacenter != self.datacenter:
            return f"the row is of datacenter {shown(node.Datacenter)}; it is left out"
        if max(len(node.Node), len(service.ID or "")) > MAX_ID:
            return f"the node's name or the instance's id is longer than {MAX_ID}; it is left out"
        if (node.Node, service.ID or "") in self.instances:
            return "Consul gave this node and id twice; the first row is used"
        return ""

    def _problem(self, source: str, sentence: str, index: int = 0) -> None:
        self.problems.append(
            Problem(
                code=Code.SERVICE_ROW,
                source=source,
                sentence=f"{sentence}: register the instance again as it should be.",
                index=index,
            )
        )


def _source(service: str, instance: str, node: str) -> str:
    parts = [f"consul service {shown(service)}"]
    if instance:
        parts.append(f"instance {shown(instance)}")
    if node:
        parts.append(f"on node {shown(node)}")
    return " ".join(parts)


def _source_of_row(service: str, row: Row) -> str:
    return _source(service, row.Service.ID or "", row.Node.Node)


def _source_of(name: str, raw: msgspec.Raw) -> str:
    """Name the object behind a row that is none, as far as the row tells."""
    row = attempt(msgspec.json.decode, raw)

    def text(outer: str, inner: str) -> str:
        part = row.get(outer) if isinstance(row, dict) else None
        value = part.get(inner) if isinstance(part, dict) else None
        return value if isinstance(value, str) else ""

    return _source(name, text("Service", "ID"), text("Node", "Node"))


def _capped(problems: list[Problem], code: Code, source: str) -> tuple[Problem, ...]:
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    rest = Problem(
        code=code, source=source, sentence=f"{len(problems) - MAX_PROBLEMS} more like these are not listed."
    )
    return (*problems[:MAX_PROBLEMS], rest)
