"""State of the world: a request names all that is wanted, a CDS or LDS response holds all there is."""

from collections.abc import Iterator

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from xds_server.model.types import TypeUrl
from xds_server.protocol.machine import Machine, TypeState, differing, nack
from xds_server.protocol.messages import Nack, Response
from xds_server.protocol.order import FULL_STATE, PUSH_ORDER
from xds_server.protocol.subscription import WILDCARD
from xds_server.snapshot import Resource, Snapshot
from xds_server.snapshot.snapshot import set_version
from xds_server.translate.packing import draft


class SotwMachine(Machine):
    """One `StreamAggregatedResources` stream."""

    def __init__(self, snapshot: Snapshot, identifier: str) -> None:
        super().__init__(snapshot, identifier)
        self._held: dict[TypeUrl, dict[str, Resource]] = {type_url: {} for type_url in FULL_STATE}
        """The resources last sent of the full-state types: what a response may have to keep for a while."""

    def _take(self, state: TypeState, request: DiscoveryRequest) -> Nack | None:
        rejection = None
        outstanding = state.ledger.outstanding
        # P-029, T-RC-09: while nothing was sent on this stream, any nonce belongs to another one.
        initial = not (request.response_nonce and state.nonce)
        if initial:
            if request.HasField("error_detail"):
                rejection = nack(state.type, "", (), request)
            outstanding.clear()
        elif request.response_nonce != state.nonce:
            # P-025, P-026: a stale request; its names come again with the answer to the newest response.
            return None
        elif outstanding:
            rejection = self._settle(state, request)
        added = state.subscription.replace(request.resource_names)
        # What was rejected may be there in part, whatever version the client says it has (P-032).
        if initial and rejection is None and self._is_current(state, request.version_info):
            return None
        state.due |= added - {WILDCARD}
        if WILDCARD in added:
            state.dirty |= self.snapshot.sets[state.type].by_name.keys()
        # P-043: a list that only got shorter needs no answer.
        state.answer_due |= bool(added)
        self._drop_unwanted(state)
        return rejection

    def _settle(self, state: TypeState, request: DiscoveryRequest) -> Nack | None:
        """Take an ACK or NACK of the outstanding response; only `error_detail` tells which (P-028)."""
        if not request.HasField("error_detail"):
            state.ledger.acknowledge(request.response_nonce)
            return None
        response = state.ledger.reject(request.response_nonce)
        return nack(state.type, response.version, response.versions, request)

    def _is_current(self, state: TypeState, version: str) -> bool:
        """Tell whether a reconnecting client has everything already; the version says so by its content."""
        current = self.snapshot.sets[state.type]
        if not (version and state.subscription.wildcard and version == current.version):
            return False
        state.ledger.sent.update((name, resource.version) for name, resource in current.by_name.items())
        self._held[state.type] = dict(current.by_name)
        return True

    def _drop_unwanted(self, state: TypeState) -> None:
        if state.subscription.wildcard:
            return
        for name in [name for name in state.ledger.sent if name not in state.subscription.names]:
            state.ledger.forget(name)
        held = self._held.get(state.type, {})
        for name in held.keys() - state.subscription.names:
            del held[name]
        state.dirty &= state.subscription.names
        state.due &= state.subscription.names

    # --- what to send ------------------------------------------------------------------------------------

    def outbox(self) -> list[Response]:
        """Give the responses to send now, in push order; of each type one at most is unacknowledged."""
        return list(self._responses())

    def _responses(self) -> Iterator[Response]:
        # Clusters once more at the end: what left may go where the routes turned out to have nothing to say.
        for type_url in (*PUSH_ORDER, TypeUrl.CLUSTER):
            state = self.types.get(type_url)
            if state is None or self._unacknowledged(state):
                continue
            response = self._full(state) if type_url in FULL_STATE else self._partial(state)
            if response is not None:
                yield response

    def _full(self, state: TypeState) -> Response | None:
        """CDS and LDS: everything subscribed to in one response, or nothing if the client has it (P-060)."""
        if not state.asked and (not state.dirty or self._behind_clusters(state)):
            return None
        held = self._held[state.type]
        resources = self._wanted(state)
        leaving = {name: old for name, old in held.items() if name not in resources}
        if leaving and state.type is TypeUrl.CLUSTER and not self._leaving_allowed(state):
            # P-094: first what is new beside what is old; the old ones go once no route names them.
            resources = {name: {**leaving, **resources}[name] for name in sorted({*leaving, *resources})}
            leaving, postponed = {}, set(leaving)
        else:
            postponed = set()
        changed = [r for name, r in resources.items() if state.ledger.sent.get(name) != r.version]
        owed = state.asked
        state.dirty, state.due, state.answer_due = postponed, set(), False
        if not (changed or leaving or owed):
            return None
        for name in leaving:
            state.ledger.forget(name)
        self._held[state.type] = resources
        self._void_children(changed)
        return self._respond(state, self._full_version(state, resources), resources)

    def _leaving_allowed(self, state: TypeState) -> bool:
        """Tell whether clusters may go: nothing new to send first, and the routes are settled."""
        new = any(self._resource(state, name) is not None for name, _ in differing(state, self.snapshot))
        return not new and self._routing_settled()

    def _full_version(self, state: TypeState, resources: dict[str, Resource]) -> str:
        current = self.snapshot.sets[state.type]
        same = state.subscription.wildcard and len(resources) == len(current.by_name)
        return current.version if same else set_version(resources.values())

    def _partial(self, state: TypeState) -> Response | None:
        """EDS, RDS, SDS: only what changed or was asked for; what is not mentioned stays (P-042, P-062)."""
        resources = {} if self._behind_clusters(state) else self._changes(state)
        for name in sorted(state.due):
            resource = self._resource(state, name)
            if resource is not None:
                resources[name] = resource
            elif state.type is TypeUrl.ENDPOINTS:
                # P-065: silence would keep the cluster in warming for 15 s.
                resources[name] = _no_endpoints(name)
        state.due, state.answer_due = set(), False
        if not resources:
            return None
        return self._respond(state, self.snapshot.sets[state.type].version, resources)

    def _changes(self, state: TypeState) -> dict[str, Resource]:
        changes = {}
        for name, changed in differing(state, self.snapshot):
            if changed is None:
                # Deletion of these types is implicit in their parents; a later return is sent anew (P-082).
                state.ledger.forget(name)
            else:
                changes[name] = changed
        state.dirty = set()
        return changes

    def _respond(self, state: TypeState, version: str, resources: dict[str, Resource]) -> Response:
        nonce = self._next_nonce(state)
        # P-025: from now on an answer to an older response is stale.
        state.ledger.outstanding.clear()
        state.ledger.record(nonce, version, resources)
        head = DiscoveryResponse(
            version_info=version, type_url=state.type, nonce=nonce, control_plane=self._control_plane()
        ).SerializeToString()
        parts = [part for resource in resources.values() for part in resource.sotw]
        return Response(type=state.type, version=version, nonce=nonce, payload=b"".join((head, *parts)))


def _no_endpoints(name: str) -> Resource:
    """Say explicitly that a cluster has no endpoints."""
    return Resource.of(draft(TypeUrl.ENDPOINTS, name, ClusterLoadAssignment(cluster_name=name)))
