"""What both variants share: the types of a stream, the snapshot, and when a cluster may be removed."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import ControlPlane

from xds_server.model.types import TypeUrl
from xds_server.protocol.ledger import Ledger
from xds_server.protocol.messages import MAX_ERROR_TEXT, Nack, ProtocolError
from xds_server.protocol.order import CHILD, FULL_STATE, ROUTING
from xds_server.protocol.subscription import Subscription
from xds_server.snapshot import Resource, Snapshot

_TYPES: Final = {str(type_url): type_url for type_url in TypeUrl}


class TypeState:
    """One resource type on one stream: an independent sub-stream with its own nonces (P-004)."""

    def __init__(self, type_url: TypeUrl) -> None:
        self.type = type_url
        self.subscription = Subscription(legacy_wildcard=type_url in FULL_STATE)
        self.ledger = Ledger()
        self.due: set[str] = set()
        """Names to be answered whatever the client is believed to have: it asked, or its copy is void."""
        self.dirty: set[str] = set()
        """Subscribed names whose content may differ from what was sent."""
        self.started = False
        """Whether a request of this type was taken on this stream."""
        self.nonce = ""
        """The nonce of the newest response of this type on this stream."""
        self.answer_due = False
        """Whether a response is owed even if it is empty."""

    @property
    def asked(self) -> bool:
        """Whether the client waits for an answer."""
        return self.answer_due or bool(self.due)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to send and nothing unanswered."""
        return not (self.ledger.outstanding or self.due or self.dirty)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to send, and the client has everything it was sent."""
        return self.idle and not self.ledger.rejected


class Machine:
    """One stream. Subclasses give `_take` (a request of a known type) and `outbox`."""

    def __init__(self, snapshot: Snapshot, identifier: str) -> None:
        self.snapshot = snapshot
        self.types: dict[TypeUrl, TypeState] = {}
        self._count = 0
        self._identifier: str | None = identifier

    def receive(self, request: Any) -> Nack | None:
        """Take a request; give the rejection it carries, if it carries one.

        Raises ProtocolError where the request breaks the protocol. A type this server does not serve is
        passed over in silence, as ending the stream would cut off all other types (P-011).
        """
        if not request.type_url:
            raise ProtocolError("the request has no type_url; on an aggregated stream each one needs it")
        type_url = _TYPES.get(request.type_url)
        if type_url is None:
            return None
        return self._take(self.types.setdefault(type_url, TypeState(type_url)), request)

    def _take(self, state: TypeState, request: Any) -> Nack | None:
        raise NotImplementedError

    def offer(self, snapshot: Snapshot) -> None:
        """Take a newer snapshot; what of it the client needs shows in the next `outbox`."""
        changed = snapshot.changed_since(self.snapshot.sequence)
        self.snapshot = snapshot
        for state in self.types.values():
            if changed is None:
                names: Iterable[str] = {*snapshot.sets[state.type].by_name, *state.ledger.sent}
            else:
                names = changed.get(state.type, frozenset())
            state.dirty.update(name for name in names if state.subscription.wants(name))

    # --- for the variants ------------------------------------------------------------------------------

    def _resource(self, state: TypeState, name: str) -> Resource | None:
        return self.snapshot.resource(state.type, name)

    def _wanted(self, state: TypeState) -> dict[str, Resource]:
        """Give every resource of the snapshot that the client subscribes to."""
        available = self.snapshot.sets[state.type].by_name
        if state.subscription.wildcard:
            return dict(available)
        return {name: available[name] for name in sorted(state.subscription.names) if name in available}

    def _void_children(self, parents: Iterable[Resource]) -> None:
        """Make due again the children of parents that are sent: the client drops its copies (P-091)."""
        for parent in parents:
            child = self.types.get(CHILD.get(parent.type, parent.type))
            if child is None or child.type is parent.type:
                continue
            for reference in parent.references:
                if reference.type is child.type and child.subscription.wants(reference.name):
                    child.due.add(reference.name)

    def _unacknowledged(self, state: TypeState) -> bool:
        """Tell whether changes of a type wait for an answer to the last of them (P-034)."""
        if state.type is TypeUrl.CLUSTER and self._routes_asked():
            # Requests never wait (P-095); so what their answers lead to goes before them, unacknowledged.
            return False
        return bool(state.ledger.outstanding)

    def _behind_clusters(self, state: TypeState) -> bool:
        """Tell whether changes of a type wait until the client has the clusters they may lead to (P-093).

        A new cluster serves when it is warm, and Envoy acknowledges it then; a route that is there first
        answers 503. A rejection is an answer too, so that one bad cluster does not hold up all routes.
        """
        clusters = self.types.get(TypeUrl.CLUSTER)
        return state.type in ROUTING and clusters is not None and bool(clusters.ledger.outstanding)

    def _routes_asked(self) -> bool:
        return any(self.types[type_url].asked for type_url in ROUTING if type_url in self.types)

    def _routing_settled(self) -> bool:
        """Tell whether the client uses the snapshot's routes, so that what they left may go (P-094)."""
        return all(self.types[type_url].quiet for type_url in ROUTING if type_url in self.types)

    def _next_nonce(self, state: TypeState) -> str:
        """Give a response its nonce, unique on the stream and never empty (P-016, P-023)."""
        self._count += 1
        state.nonce = f"{self._count:x}"
        return state.nonce

    def _control_plane(self) -> ControlPlane | None:
        """Give this server's identity once a stream: in small messages it would be a third of the bytes."""
        identifier, self._identifier = self._identifier, None
        return None if identifier is None else ControlPlane(identifier=identifier)


def nack(type_url: TypeUrl, version: str, names: Iterable[str], request: Any) -> Nack:
    """Describe a rejection."""
    error = request.error_detail.message[:MAX_ERROR_TEXT]
    return Nack(type=type_url, version=version, names=tuple(sorted(names)), error=error)


def differing(state: TypeState, snapshot: Snapshot) -> Iterator[tuple[str, Resource | None]]:
    """Give the dirty names whose content is not what was sent; the resource is None where it is gone."""
    for name in sorted(state.dirty):
        resource = snapshot.resource(state.type, name)
        if resource is None:
            if name in state.ledger.sent:
                yield name, None
        elif state.ledger.sent.get(name) != resource.version:
            yield name, resource
