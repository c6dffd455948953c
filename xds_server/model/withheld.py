"""What clients refused, as values that outlive this process: what is served in its place, and why."""

from dataclasses import dataclass, field

from xds_server.model.proxy import Group
from xds_server.model.types import TypeUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A resource that was accepted, as bytes; never of the type of secrets.

    `packed` is a serialised `google.protobuf.Any`, `references` are types and names of what it needs, `ttl`
    its time to live in seconds.
    """

    type: TypeUrl
    name: str
    packed: bytes = field(repr=False)
    references: tuple[tuple[TypeUrl, str], ...] = ()
    on_demand: bool = False
    ttl: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A version that clients rejected and none of their kind has accepted.

    `by` are the ids of the nodes, `error` the words of the first of them, cut.
    """

    type: TypeUrl
    name: str
    version: str
    by: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """What one kind of clients refused: a group, and the agent, which is software with its version.

    `kept` are the accepted versions that are served in place of the refused ones, with all they need.
    """

    group: Group
    agent: str
    refused: tuple[Refused, ...] = ()
    kept: tuple[Kept, ...] = ()
