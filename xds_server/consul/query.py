"""A question to Consul and its answer, as values; how they travel is not known here.

The parameters and headers: https://developer.hashicorp.com/consul/api-docs/features/blocking ,
.../features/consistency , .../features/caching and .../features/filtering .
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

MAX_INDEX = 2**63 - 1


class Reads(StrEnum):
    """Who may answer: the leader as a rule, any server, or the leader after it has asked a quorum."""

    DEFAULT = "default"
    STALE = "stale"
    CONSISTENT = "consistent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One GET. `segments` make the path, each percent-encoded.

    With an `index` above 0 Consul holds its answer until its own index has passed it, `wait` seconds at the
    most and a sixteenth more. `cached` lets the agent answer from its cache, `max_age` seconds old at the
    most. An empty `datacenter` is the one of the settings.
    """

    segments: tuple[str, ...]
    index: int = 0
    wait: float = 0.0
    reads: Reads = Reads.DEFAULT
    cached: bool = False
    max_age: float | None = None
    datacenter: str = ""
    filter: str = ""

    @property
    def path(self) -> str:
        """The path, without the parameters."""
        return "/" + "/".join(quote(segment, safe="") for segment in self.segments)

    @property
    def held(self) -> float:
        """The seconds for which Consul may hold the answer back."""
        return self.wait * 17 / 16 if self.index > 0 else 0.0

    def parameters(self) -> Mapping[str, str]:
        """Give the parameters of the URL; those without a value have an empty one, which Consul takes."""
        found: dict[str, str] = {}
        if self.datacenter:
            found["dc"] = self.datacenter
        if self.index > 0:
            found |= {"index": str(self.index), "wait": f"{max(1, round(self.wait * 1000))}ms"}
        if self.reads is not Reads.DEFAULT:
            found[self.reads.value] = ""
        if self.cached and self.reads is not Reads.CONSISTENT:
            found["cached"] = ""
        if self.filter:
            found["filter"] = self.filter
        return found

    def at(self, index: int, wait: float) -> "Query":
        """Give the same question, to be answered once `index` has passed."""
        return replace(self, index=index, wait=wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of 200. `index` is 0 where the header is missing or is no index.

    `last_contact` is how many milliseconds ago the answering server heard of its leader; `age` how many
    seconds the answer lay in the agent's cache, 0 for a live one.
    """

    index: int
    body: bytes
    known_leader: bool = True
    last_contact: int = 0
    age: float = 0.0
    filtered_by_acls: bool = False
