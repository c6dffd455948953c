"""Config entries: the answer of one kind becomes entries that are read one by one; pure.

https://developer.hashicorp.com/consul/api-docs/config#list-configurations
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from xds_server.consul.errors import Unreadable
from xds_server.consul.gateways import IngressShape, TerminatingShape, ingress, terminating
from xds_server.consul.overrides import (
    NO_CALLS,
    Calls,
    ProxyDefaults,
    ServiceDefaults,
    proxy_overrides,
    service_overrides,
    upstream_overrides,
)
from xds_server.consul.references import references
from xds_server.consul.rows import Failure, attempt, number
from xds_server.consul.text import shown
from xds_server.model.catalog import is_service_name
from xds_server.model.entries import Gateway, Override
from xds_server.model.problem import Code, Problem

MAX_ENTRIES: Final = 10_000
_MAX_NOTES: Final = 20
GLOBAL: Final = "global"


class Kind(StrEnum):
    """The kinds that are asked for; of the first three, Consul compiles discovery chains."""

    SERVICE_ROUTER = "service-router"
    SERVICE_SPLITTER = "service-splitter"
    SERVICE_RESOLVER = "service-resolver"
    SERVICE_DEFAULTS = "service-defaults"
    PROXY_DEFAULTS = "proxy-defaults"
    INGRESS_GATEWAY = "ingress-gateway"
    TERMINATING_GATEWAY = "terminating-gateway"


CHAINED: Final = frozenset({Kind.SERVICE_ROUTER, Kind.SERVICE_SPLITTER, Kind.SERVICE_RESOLVER})


class _Head(msgspec.Struct):
    Kind: str
    Name: str
    Namespace: str = ""
    ModifyIndex: msgspec.Raw = msgspec.Raw(b"0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one entry says of how services are reached: of its own, and of those that it calls."""

    overrides: tuple[Override, ...] = ()
    calls: Calls = NO_CALLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. `raw` is its JSON as Consul gave it, which tells whether it changed.

    `value` is what is read of it: None for a kind that is read through the discovery chain, which `named` are
    the services it speaks of.
    """

    kind: Kind
    name: str
    raw: bytes
    value: Said | Gateway | None = None
    named: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KindAnswer:
    """The entries of one kind by name, in sorted order; `problems` tell of those that are not among them."""

    kind: Kind
    entries: dict[str, Entry]
    problems: tuple[Problem, ...] = ()


_entries: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_head: Final = msgspec.json.Decoder(_Head).decode


def decode_entries(kind: Kind, body: bytes, known: dict[str, Entry] | None = None) -> KindAnswer:
    """Read an answer of `/v1/config/<kind>`; raise Unreadable if it is no list at all.

    An entry that is the same in `known` keeps its identity.
    """
    rows = attempt(_entries, body)
    if isinstance(rows, Failure):
        raise Unreadable(
            f"Consul's config entries of kind {kind} cannot be read ({rows.why}): see what answers there."
        )
    found: dict[str, Entry] = {}
    problems: list[Problem] = []
    for raw in rows[:MAX_ENTRIES]:
        head = attempt(_head, raw)
        if isinstance(head, Failure):
            problems.append(_problem(kind, "", f"an entry cannot be read ({head.why})", 0))
        elif refusal := _refusal(kind, head, found):
            problems.append(_problem(kind, head.Name, refusal, number(head.ModifyIndex)))
        else:
            old = (known or {}).get(head.Name)
            found[head.Name] = old if old and old.raw == bytes(raw) else _entry(kind, head, bytes(raw))
    if len(rows) > MAX_ENTRIES:
        problems.append(_problem(kind, "", f"there are more than {MAX_ENTRIES}; the others", 0))
    return KindAnswer(
        kind=kind,
        entries={name: found[name] for name in sorted(found)},
        problems=_capped(kind, problems),
    )


def _refusal(kind: Kind, head: _Head, found: dict[str, Entry]) -> str:
    """Tell why an entry is left out; empty if it is not."""
    if head.Kind != kind:
        return f"the entry is of kind {shown(head.Kind)}, which was not asked for; it"
    if (head.Namespace or "default") != "default":
        return "the entry is of another namespace, which is not read; it"
    if kind is Kind.PROXY_DEFAULTS and head.Name != GLOBAL:
        return f"only the entry {GLOBAL} means something; this one"
    if not is_service_name(head.Name):
        return "the name may hold letters, digits, `.`, `_` and `-` only, 128 at the most; the entry"
    if head.Name in found:
        return "Consul gave this name twice; the second one"
    return ""


def _entry(kind: Kind, head: _Head, raw: bytes) -> Entry:
    notes: list[str] = []
    value: Said | Gateway | None = None
    if (reader := _READERS.get(kind)) is not None:
        shape = attempt(reader.decode, raw)
        if isinstance(shape, Failure):
            notes.append(f"the entry cannot be read ({shape.why})")
        else:
            value = reader.read(head.Name, shape, notes)
    index = number(head.ModifyIndex)
    notes = list(dict.fromkeys(notes))
    return Entry(
        kind=kind,
        name=head.Name,
        raw=raw,
        value=value,
        named=references(raw) if kind in CHAINED else frozenset(),
        problems=tuple(_note(kind, head.Name, note, index) for note in notes[:_MAX_NOTES]),
    )


def _proxy_defaults(name: str, shape: ProxyDefaults, notes: list[str]) -> Said:
    return Said(overrides=proxy_overrides(shape, source(Kind.PROXY_DEFAULTS, name), notes))


def _service_defaults(name: str, shape: ServiceDefaults, notes: list[str]) -> Said:
    whose = source(Kind.SERVICE_DEFAULTS, name)
    return Said(
        overrides=service_overrides(shape, whose, notes),
        calls=upstream_overrides(shape.UpstreamConfig, whose, notes),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    decode: Callable[[bytes | msgspec.Raw], Any]
    read: Callable[[str, Any, list[str]], Said | Gateway]


_READERS: Final = {
    Kind.SERVICE_DEFAULTS: _Reader(msgspec.json.Decoder(ServiceDefaults).decode, _service_defaults),
    Kind.PROXY_DEFAULTS: _Reader(msgspec.json.Decoder(ProxyDefaults).decode, _proxy_defaults),
    Kind.INGRESS_GATEWAY: _Reader(msgspec.json.Decoder(IngressShape).decode, ingress),
    Kind.TERMINATING_GATEWAY: _Reader(msgspec.json.Decoder(TerminatingShape).decode, terminating),
}


def source(kind: Kind, name: str) -> str:
    """Name an entry as problems and origins do."""
    return f"consul {kind} {shown(name)}" if name else f"consul config {kind}"


def _problem(kind: Kind, name: str, what: str, index: int) -> Problem:
    return Problem(
        code=Code.CONFIG_ENTRY,
        source=source(kind, name),
        sentence=f"{what} is left out: write it again as it should be, or delete it.",
        index=index,
    )


def _note(kind: Kind, name: str, note: str, index: int) -> Problem:
    return Problem(
        code=Code.CONFIG_ENTRY,
        source=source(kind, name),
        sentence=f"{note}; what cannot be used is left out: write the entry again as it should be.",
        index=index,
    )


def _capped(kind: Kind, problems: list[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= _MAX_NOTES:
        return tuple(problems)
    more = f"{len(problems) - _MAX_NOTES} more like these are not listed."
    rest = Problem(code=Code.CONFIG_ENTRY, source=source(kind, ""), sentence=more)
    return (*problems[:_MAX_NOTES], rest)
