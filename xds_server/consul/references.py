"""Which services an entry speaks of, and so which chains a change of it may change; pure.

A router, a splitter and a resolver name others under `Service`, at whatever depth; what is named may have
entries of its own, and so on.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from xds_server.consul.rows import Failure, attempt


def references(raw: bytes) -> frozenset[str]:
    """Give the services that an entry names."""
    entry = attempt(msgspec.json.decode, raw)
    found: set[str] = set()
    parts: list[Any] = [] if isinstance(entry, Failure) else [entry]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if isinstance(named := part.get("Service"), str) and named:
                found.add(named)
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return frozenset(found)


def concerned(named: Mapping[str, AbstractSet[str]], changed: Iterable[str]) -> frozenset[str]:
    """Give the names that lead to a changed one over any number of steps, and the changed ones.

    `named` are the services that those of each name speak of.
    """
    speakers: dict[str, set[str]] = {}
    for name, others in named.items():
        for other in others:
            speakers.setdefault(other, set()).add(name)
    found = set(changed)
    ahead = list(found)
    while ahead:
        new = speakers.get(ahead.pop(), set()) - found
        found |= new
        ahead += new
    return frozenset(found)
