"""Who is connected: one entry for each open stream, for those who show the state of the fleet."""

from dataclasses import dataclass, field
from typing import Final

from envoy.config.core.v3.base_pb2 import Node

from xds_server.model.proxy import Proxy
from xds_server.model.types import TypeUrl
from xds_server.protocol.machine import Machine
from xds_server.protocol.names import NO_NAMES, Names
from xds_server.protocol.node import MAX_NODE_TEXT
from xds_server.runtime.interest import Interest

_MOST_BYTES: Final = 16 * 1024
"""How much of a node is kept for each stream (P-117)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Session:
    """One open stream.

    `variant` is `sotw` or `delta`, `peer` the other end as gRPC writes it, `since` the Unix time of the first
    request. `machine` tells what was sent and what came of it (`Machine.status`). `node` is what `known_node`
    gives.
    """

    proxy: Proxy
    variant: str
    peer: str
    since: float
    machine: Machine = field(repr=False)
    node: bytes = field(repr=False)


class Fleet:
    """The open streams of this server, oldest first.

    `interest` counts the services whose endpoints they subscribe to.
    """

    def __init__(self) -> None:
        self.interest = Interest()
        self._sessions: dict[Session, Names] = {}
        """Of each stream the endpoints that `interest` knows it wants."""

    def enter(self, session: Session) -> None:
        """Note a stream that begins; doing it twice is harmless."""
        self._sessions.setdefault(session, NO_NAMES)

    def heard(self, session: Session) -> None:
        """Note what the last request of a stream said of the endpoints it wants; `*` is no name."""
        state = session.machine.types.get(TypeUrl.ENDPOINTS)
        known = self._sessions.get(session)
        # Nearly every request acknowledges, and asks for nothing new.
        if state is not None and known is not None and known is not state.subscription.names:
            self._sessions[session] = state.subscription.names
            self.interest.move(known, state.subscription.names)

    def leave(self, session: Session) -> None:
        """Note that a stream has ended; doing it twice is harmless."""
        known = self._sessions.pop(session, NO_NAMES)
        self.interest.move(known, NO_NAMES)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every open stream, oldest first."""
        return tuple(self._sessions)


def known_node(node: Node) -> bytes:
    """Encode a node without what nobody reads here: its 60 kB of extensions, its dynamic parameters.

    Where more than 16 kB are left, only its id and the start of its cluster and agent are kept: the text is
    the client's own, and must not fill this server's memory. The node given loses what is left out.
    """
    for unread in ("extensions", "dynamic_parameters", "listening_addresses"):
        node.ClearField(unread)
    if node.ByteSize() > _MOST_BYTES:
        node = Node(
            id=node.id,
            cluster=node.cluster[:MAX_NODE_TEXT],
            user_agent_name=node.user_agent_name[:MAX_NODE_TEXT],
        )
    return node.SerializeToString()
