"""What both variants share: the types of a stream, the snapshot, and when a cluster may be removed."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.protocol.assembled import Message
from xds_server.protocol.blame import named_by
from xds_server.protocol.ledger import ResourceStatus
from xds_server.protocol.limits import check_names
from xds_server.protocol.messages import MAX_ERROR_TEXT, Answer, ProtocolError, Response
from xds_server.protocol.order import CHILD, ROUTING
from xds_server.protocol.type_state import TypeState
from xds_server.snapshot import Key, Resource, Snapshot

CLUSTERS_AWAITED: Final = 30.0
"""Seconds for which routes, and more clusters, wait for the answer to clusters.

Twice Envoy's `initial_fetch_timeout` of 15 s, after which it is done with a cluster whose endpoints did not
come. Some it never answers, like an EDS cluster with a Maglev table whose size is not prime (Envoy 1.40).
"""

_TYPES: Final = {str(type_url): type_url for type_url in TypeUrl}


class Machine:
    """One stream. Subclasses give `_take` (a request of a known type) and `_responses`.

    `client` is the kind of client; `only` is the type of a stream that is for one type, None where types are
    aggregated. Times are Unix seconds, told by the owner.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        identifier: str,
        client: Client = Client.ENVOY,
        only: TypeUrl | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.types: dict[TypeUrl, TypeState] = {}
        self._client = client
        self._only = only
        self._sequence = 0
        self._count = 0
        """Responses that this stream was given at the snapshot of that sequence."""
        self._identifier: str | None = identifier
        self._now = 0.0

    def receive(self, request: Any, at: float) -> Answer | None:
        """Take a request; give what it says of earlier responses, if it says anything.

        Raises ProtocolError where the request breaks the protocol or a limit. A type this server does not
        serve never ends the stream, as that would cut off all other types (P-011).
        """
        self._now = at
        type_url = self._type_of(request)
        if type_url is None:
            self._take_unknown(request)
            return None
        state = self.types.get(type_url)
        if state is None:
            state = self.types[type_url] = TypeState(type_url, self._client)
        answer = self._take(state, request)
        if state.subscription.grown:
            check_names(type_url.short, state.subscription.names)
            state.subscription.grown = False
        return answer

    def _type_of(self, request: Any) -> TypeUrl | None:
        """Give the type a request is about, None if it is not served (P-003)."""
        if self._only is not None:
            if request.type_url not in ("", self._only):
                raise ProtocolError(f"this stream is for {self._only.short} only; use the aggregated service")
            return self._only
        if not request.type_url:
            raise ProtocolError("the request has no type_url; on an aggregated stream each one needs it")
        return _TYPES.get(request.type_url)

    def _take(self, state: TypeState, request: Any) -> Answer | None:
        raise NotImplementedError

    def _take_unknown(self, request: Any) -> None:
        """Take a request of a type that is not served; to say nothing is right in SotW."""

    def offer(self, snapshot: Snapshot) -> None:
        """Take a newer snapshot; what of it the client needs shows in the next `outbox`."""
        if snapshot is self.snapshot:
            return
        before, self.snapshot = self.snapshot, snapshot
        changed = snapshot.may_differ(before)
        for type_url, names in changed.items():
            state = self.types.get(type_url)
            if state is not None:
                state.offered(snapshot.sets[type_url], names)
        if before.replaced:
            self._let_in(before.replaced - snapshot.replaced)

    def _let_in(self, keys: Iterable[Key]) -> None:
        """Look at what is withheld no more: it may be just what stood in for it, and so no change."""
        for type_url, name in keys:
            state = self.types.get(type_url)
            if state is not None and name in state.ledger.rejected:
                state.dirty |= {name}

    def again(self, type_url: TypeUrl, names: Iterable[str]) -> frozenset[str]:
        """Send once more what was rejected in bad company; give what of it the client still wants.

        What is on its way already will be answered without that.
        """
        state = self.types.get(type_url)
        if state is None:
            return frozenset()
        wanted = {name: one for name in names if (one := state.resource(name)) is not None}
        state.due |= {name for name, one in wanted.items() if not state.ledger.on_its_way(name, one.version)}
        return frozenset(wanted)

    def outbox(self, at: float) -> list[Response]:
        """Give the responses to send now, in this order: requests first, then the push, then removals."""
        self._now = at
        return list(self._responses()) if self._stirred() else []

    def _stirred(self) -> bool:
        """Tell whether there may be something to send."""
        for state in self.types.values():  # noqa: SIM110 - a generator costs more than what it looks at
            if state.dirty or state.due or state.answer_due:
                return True
        return False

    def expires(self, type_url: str) -> bool:
        """Tell whether anything of a type that is served has a time to live."""
        known = _TYPES.get(type_url)
        return known is not None and bool(self.snapshot.sets[known].expiring)

    def held_back(self, at: float) -> float | None:
        """Give after how many seconds `outbox` has more to give, even if nothing happens; None for never."""
        self._now = at
        awaited = self._clusters_awaited()
        if awaited and any(self.types[one].dirty for one in (TypeUrl.CLUSTER, *ROUTING) if one in self.types):
            return awaited
        return None

    def _responses(self) -> Iterator[Response]:
        raise NotImplementedError

    def status(self) -> Iterator[ResourceStatus]:
        """Tell of every resource the client was sent or waits for where it stands."""
        for state in self.types.values():
            for name in sorted(state.ledger.sent.names | state.wanted.all.keys()):
                yield state.ledger.status(state.type, name)

    # --- for the variants ------------------------------------------------------------------------------

    def _differing(self, state: TypeState) -> Iterator[tuple[str, Resource | None]]:
        """Give the dirty names whose content is not what was sent; the resource is None where it is gone."""
        for name in sorted(state.dirty):
            resource = state.resource(name)
            if self._untaken(state, name):
                continue
            if resource is None:
                if name in state.ledger.sent:
                    yield name, None
            elif not state.ledger.holds(name, resource.version):
                yield name, resource

    def _untaken(self, state: TypeState, name: str) -> bool:
        """Tell whether a name is withheld from this client, which has rejected all it was sent of it.

        There is nothing to take away then. Nor is anything put in its place: an Envoy does not wait for what
        it has rejected (its `onConfigUpdateFailed` for EDS and RDS), and status shows the rejection still.
        """
        replaced = self.snapshot.replaced
        withheld = bool(replaced) and (state.type, name) in replaced
        if not withheld or state.brings or not state.ledger.took_nothing(name):
            return False
        # What is served as it was sent was rejected for its company.
        resource = state.resource(name)
        same = resource is not None and resource.version == state.ledger.sent.get(name)
        return not same or state.ledger.refused_alone(name)

    def _brought(
        self, state: TypeState, resources: Mapping[str, Resource], claims: Mapping[str, str]
    ) -> Answer | None:
        """Tell of what a reconnecting client has already."""
        if not claims:
            return None
        return Answer(type=state.type, nonce="", version="", resources=resources, at=self._now, claims=claims)

    def _foreign_rejection(self, state: TypeState, request: Any, claims: Mapping[str, str]) -> Answer | None:
        """Tell of a rejection that is of no response of this stream (P-029)."""
        if not request.HasField("error_detail"):
            return None
        error = error_text(request)
        return Answer(
            type=state.type, nonce="", version="", resources={}, at=self._now, error=error, claims=claims
        )

    def _settle(self, state: TypeState, request: Any) -> Answer:
        """Take an ACK or NACK of an outstanding response; only `error_detail` tells which (P-028)."""
        nonce, ledger = request.response_nonce, state.ledger
        if not request.HasField("error_detail"):
            delivery = ledger.acknowledge(nonce, self._now)
            return Answer(
                type=state.type,
                nonce=nonce,
                version=delivery.version,
                resources=delivery.resources,
                at=self._now,
            )
        error = error_text(request)
        delivery = ledger.reject(nonce, self._now, error)
        suspects = frozenset(
            name for name, one in delivery.resources.items() if ledger.doubted(name, one.version)
        )
        return Answer(
            type=state.type,
            nonce=nonce,
            version=delivery.version,
            resources=delivery.resources,
            at=self._now,
            error=error,
            suspects=suspects,
            overtaken=any(
                name not in suspects and not ledger.accepts(name, one.version)
                for name, one in delivery.resources.items()
            ),
            keeps=frozenset(name for name in suspects if ledger.may_have_older(name)),
            named=named_by(request.error_detail.message, suspects),
        )

    def _changed(self, state: TypeState, resources: Mapping[str, Resource]) -> Collection[Resource]:
        """Give what of a response is news to the client, whatever else goes out with it."""
        ledger = state.ledger
        if ledger.rejected:
            news = {
                name
                for name in ledger.sent.news(resources)
                if not ledger.holds(name, resources[name].version)
            }
            news |= ledger.rejected.keys() & state.due & resources.keys()
            return [resources[name] for name in sorted(news)]
        if state.wanted.is_all(resources) and ledger.sent.nothing:
            return resources.values()
        return [resources[name] for name in ledger.sent.news(resources)]

    def _void_children(self, state: TypeState, parents: Iterable[Resource]) -> None:
        """Make due again the children of parents that are sent: the client drops its copies (P-091)."""
        child = self.types.get(CHILD[state.type]) if state.type in CHILD else None
        if child is None:
            return
        child.due |= {
            one.name
            for parent in parents
            for one in parent.references
            if one.type is child.type and child.subscription.wants(one.name)
        }

    def _unacknowledged(self, state: TypeState) -> bool:
        """Tell whether changes of a type wait for an answer to the last of them (P-034)."""
        if state.type is TypeUrl.CLUSTER:
            # Requests never wait (P-095); so what their answers lead to goes before them, unacknowledged. And
            # what routes lead to that wait no longer goes before those.
            return not self._routes_asked() and self._clusters_awaited() > 0
        return bool(state.ledger.outstanding)

    def _behind_clusters(self, state: TypeState) -> bool:
        """Tell whether changes of a type wait until the client has the clusters they may lead to (P-093).

        A new cluster serves when it is warm, and Envoy acknowledges it then; a route that is there first
        answers 503. A rejection is an answer too, so that one bad cluster does not hold up all routes.
        """
        return state.type in ROUTING and self._clusters_awaited() > 0

    def _clusters_awaited(self) -> float:
        """Give for how many seconds more an answer to clusters is waited for; 0 where none is.

        A clock that was set back ends the wait.
        """
        clusters = self.types.get(TypeUrl.CLUSTER)
        if clusters is None or not clusters.ledger.outstanding:
            return 0.0
        oldest = next(iter(clusters.ledger.outstanding.values()))
        left = oldest.sent_at + CLUSTERS_AWAITED - self._now
        return left if 0.0 < left <= CLUSTERS_AWAITED else 0.0

    def _routes_asked(self) -> bool:
        return any(self.types[type_url].asked for type_url in ROUTING if type_url in self.types)

    def _settled(self, types: Iterable[TypeUrl]) -> bool:
        """Tell whether the client uses the snapshot's resources of these types, and no older ones (P-094)."""
        return all(self.types[type_url].quiet for type_url in types if type_url in self.types)

    def _send(self, state: TypeState, message: Message) -> Response:
        """Note that a message goes out, and give it as a response."""
        state.nonce = self._next_nonce()
        state.ledger.record(state.nonce, message.version, message.resources, self._now)
        # Once a stream: in small messages it would be a third of the bytes.
        identifier, self._identifier = self._identifier, None
        return message.response(state.nonce, identifier)

    def _next_nonce(self) -> str:
        """Give a response its nonce, unique on the stream and never empty (P-016, P-023).

        Streams that are given the same response have the same one, so that it is put together once.
        """
        if self.snapshot.sequence > self._sequence:
            self._sequence, self._count = self.snapshot.sequence, 0
        self._count += 1
        return f"{self._sequence:x}.{self._count:x}"


def error_text(request: Any) -> str:
    """Give the text of a rejection, cut to what is kept (P-031)."""
    return str(request.error_detail.message[:MAX_ERROR_TEXT])
