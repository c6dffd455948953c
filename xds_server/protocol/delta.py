"""Incremental: requests add and drop names, responses carry what changed and the names of what is gone."""

from collections.abc import Iterable, Iterator

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from xds_server.model.types import TypeUrl
from xds_server.protocol.machine import Machine, TypeState, differing, nack
from xds_server.protocol.messages import Nack, Response
from xds_server.protocol.order import CHILD, PUSH_ORDER
from xds_server.protocol.subscription import WILDCARD
from xds_server.snapshot import Resource, Snapshot

# Removed last, and in this order: a cluster after the routes that named it, its endpoints after it.
_REMOVED_LAST = (TypeUrl.CLUSTER, TypeUrl.ENDPOINTS)


class DeltaMachine(Machine):
    """One `DeltaAggregatedResources` stream."""

    def __init__(self, snapshot: Snapshot, identifier: str) -> None:
        super().__init__(snapshot, identifier)
        self._resent: dict[TypeUrl, set[str]] = {child: set() for child in CHILD.values()}
        """Children whose parent was sent on this stream before they were asked for: no version counts."""

    def _take(self, state: TypeState, request: DeltaDiscoveryRequest) -> Nack | None:
        rejection = self._settle(state, request)
        # P-076: subscriptions count whatever the nonce is.
        subscription = state.subscription
        before = subscription.wildcard
        first, state.started = not state.started, True
        subscription.change(request.resource_names_subscribe, request.resource_names_unsubscribe)
        asked = {name for name in request.resource_names_subscribe if name in subscription.names}
        if first:
            asked -= self._resume(state, request)
        if subscription.wildcard and not before:
            state.dirty |= {*self.snapshot.sets[state.type].by_name, *state.ledger.sent}
        # P-080: the start of a wildcard is answered even if there is nothing to say, as the client waits for
        # it; one that says what it has was answered before, by another stream (P-073).
        resumed = first and bool(request.initial_resource_versions)
        if subscription.wildcard and not (resumed and self._all_there(state)):
            state.answer_due |= not before or WILDCARD in request.resource_names_subscribe
        # P-072: what is named in a subscription is sent again, even if believed current.
        state.due |= asked
        self._drop(state, request.resource_names_unsubscribe)
        return rejection

    def _settle(self, state: TypeState, request: DeltaDiscoveryRequest) -> Nack | None:
        rejected = request.HasField("error_detail")
        if request.response_nonce not in state.ledger.outstanding:
            # P-029: a pending NACK may come with the first request of a new stream.
            return nack(state.type, "", (), request) if rejected else None
        if not rejected:
            state.ledger.acknowledge(request.response_nonce)
            return None
        response = state.ledger.reject(request.response_nonce)
        return nack(state.type, response.version, response.versions, request)

    def _resume(self, state: TypeState, request: DeltaDiscoveryRequest) -> set[str]:
        """Take over what a reconnecting client says it has; give what needs no answer (P-073, P-078)."""
        void = self._resent.get(state.type, set())
        current = set()
        for name, version in request.initial_resource_versions.items():
            if not state.subscription.wants(name) or name in void:
                continue
            state.ledger.sent[name] = version
            resource = self._resource(state, name)
            if resource is not None and resource.version == version:
                current.add(name)
        state.dirty |= state.ledger.sent.keys() - current
        return current

    def _all_there(self, state: TypeState) -> bool:
        """Tell whether nothing the client has is gone.

        Otherwise an empty answer goes out first, and the removal after its ACK: by then the client has asked
        for its listeners and routes on this stream too, and the removal waits for those (P-094).
        """
        return all(self._resource(state, name) is not None for name in state.ledger.sent)

    def _drop(self, state: TypeState, names: Iterable[str]) -> None:
        for name in names:
            if name == WILDCARD and not state.subscription.wildcard:
                for known in [n for n in state.ledger.sent if not state.subscription.wants(n)]:
                    state.ledger.forget(known)
            elif state.subscription.wildcard:
                # P-051: the wildcard still covers the name, or says that it is gone.
                state.due.add(name)
            else:
                state.ledger.forget(name)
        wants = state.subscription.wants
        state.due = {name for name in state.due if wants(name)}
        state.dirty = {name for name in state.dirty if wants(name)}

    # --- what to send ------------------------------------------------------------------------------------

    def outbox(self) -> list[Response]:
        """Give the responses to send now: requests first, then the push in its order, then removals."""
        return list(self._responses())

    def _responses(self) -> Iterator[Response]:
        for type_url in PUSH_ORDER:
            state = self.types.get(type_url)
            if state is not None and (response := self._updates(state)) is not None:
                yield response
        for type_url in _REMOVED_LAST:
            state = self.types.get(type_url)
            if state is not None and (response := self._removals(state)) is not None:
                yield response

    def _updates(self, state: TypeState) -> Response | None:
        """Answer at once what was asked for (P-095); push changes once all is acknowledged (P-034)."""
        if not (state.asked or state.dirty):
            return None
        resources: dict[str, Resource] = {}
        removed: list[str] = []
        for name in sorted(state.due):
            resource = self._resource(state, name)
            if resource is None:
                # P-074: an explicit "there is none" ends the client's wait at once.
                removed.append(name)
            else:
                resources[name] = resource
        owed = state.asked
        # A wildcard that begins is answered whole.
        if state.answer_due or not (self._unacknowledged(state) or self._behind_clusters(state)):
            self._add_changes(state, resources, removed)
        state.dirty -= {*resources, *removed}
        state.due, state.answer_due = set(), False
        if not (resources or removed or owed):
            return None
        changed = [r for name, r in resources.items() if state.ledger.sent.get(name) != r.version]
        self._note_children(changed)
        return self._respond(state, resources, removed)

    def _add_changes(self, state: TypeState, resources: dict[str, Resource], removed: list[str]) -> None:
        later = set()
        for name, resource in differing(state, self.snapshot):
            if resource is not None:
                resources[name] = resource
            elif state.type in _REMOVED_LAST:
                later.add(name)
            elif name not in removed:
                removed.append(name)
        state.dirty = later

    def _note_children(self, parents: list[Resource]) -> None:
        self._void_children(parents)
        for parent in parents:
            child = CHILD.get(parent.type)
            if child is not None and child not in self.types:
                self._resent[child].update(r.name for r in parent.references if r.type is child)

    def _removals(self, state: TypeState) -> Response | None:
        """Name the clusters and endpoints that are gone, once no route of the client leads there (P-094)."""
        if not state.dirty or state.ledger.outstanding or not self._removal_allowed(state):
            return None
        removed = [name for name, resource in differing(state, self.snapshot) if resource is None]
        state.dirty = set()
        return self._respond(state, {}, removed) if removed else None

    def _removal_allowed(self, state: TypeState) -> bool:
        if not self._routing_settled():
            return False
        clusters = self.types.get(TypeUrl.CLUSTER)
        return state.type is TypeUrl.CLUSTER or clusters is None or clusters.idle

    def _respond(self, state: TypeState, resources: dict[str, Resource], removed: list[str]) -> Response:
        nonce = self._next_nonce(state)
        for name in removed:
            state.ledger.forget(name)
        state.ledger.record(nonce, "", resources)
        head = DeltaDiscoveryResponse(
            type_url=state.type, nonce=nonce, removed_resources=removed, control_plane=self._control_plane()
        ).SerializeToString()
        parts = [part for resource in resources.values() for part in resource.delta]
        return Response(type=state.type, version="", nonce=nonce, payload=b"".join((head, *parts)))
