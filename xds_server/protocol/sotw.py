"""State of the world: a request names all that is wanted, a CDS or LDS response holds all there is."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.protocol.machine import Machine, TypeState
from xds_server.protocol.messages import Answer, Response
from xds_server.protocol.order import FULL_STATE, PUSH_ORDER, ROUTING
from xds_server.protocol.subscription import WILDCARD
from xds_server.snapshot import Resource, Snapshot
from xds_server.snapshot.snapshot import set_version
from xds_server.translate.packing import draft

_NOT_FOUND: Final = 5
"""The gRPC status code of what is not there."""


class SotwMachine(Machine):
    """One `StreamAggregatedResources` stream, or one of a type of its own."""

    def __init__(
        self,
        snapshot: Snapshot,
        identifier: str,
        client: Client = Client.ENVOY,
        only: TypeUrl | None = None,
    ) -> None:
        super().__init__(snapshot, identifier, client, only)
        self._held: dict[TypeUrl, dict[str, Resource]] = {type_url: {} for type_url in FULL_STATE}
        """The resources last sent of the full-state types: what a response may have to keep for a while."""

    def _take(self, state: TypeState, request: DiscoveryRequest) -> Answer | None:
        answer = None
        # P-029, T-RC-09: while nothing was sent on this stream, any nonce belongs to another one.
        initial = not (request.response_nonce and state.nonce)
        if initial:
            answer = self._foreign_rejection(state, request, _claims(request))
            state.ledger.outstanding.clear()
            state.brings = bool(request.version_info)
        elif request.response_nonce in state.ledger.outstanding:
            answer = self._settle(state, request)
        if not initial and request.response_nonce != state.nonce:
            # P-025, P-026: a stale request; its names come again with the answer to the newest response.
            return answer
        if not initial:
            # What a client skipped before it answered the newest response it will not answer any more.
            state.ledger.outstanding.clear()
        added = state.subscription.replace(request.resource_names)
        # What was rejected may be there in part, whatever version the client says it has (P-032).
        if initial and answer is None and self._is_current(state, request.version_info):
            return self._brought(state, self._held[state.type], _claims(request))
        if initial and answer is None:
            answer = self._brought(state, {}, _claims(request))
        state.due |= added - {WILDCARD}
        if WILDCARD in added:
            state.dirty |= self.snapshot.sets[state.type].wildcard.keys()
        # P-043: a list that only got shorter needs no answer.
        state.answer_due |= bool(added)
        self._drop_unwanted(state)
        return answer

    def _is_current(self, state: TypeState, version: str) -> bool:
        """Tell whether a reconnecting client has everything already; the version says so by its content."""
        subscription, current = state.subscription, self.snapshot.sets[state.type]
        only_wildcard = subscription.wildcard and not subscription.names
        if not (version and only_wildcard and version == current.version):
            return False
        for name, resource in current.wildcard.items():
            state.ledger.bring(name, resource.version)
        self._held[state.type] = dict(current.wildcard)
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

    def _responses(self) -> Iterator[Response]:
        """Give the responses in push order; of each type one push at most is unacknowledged."""
        # Clusters once more at the end: what left may go where the routes turned out to have nothing to say.
        for type_url in (*PUSH_ORDER, TypeUrl.CLUSTER, TypeUrl.ENDPOINTS):
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
        resources = self._taken(state)
        self._set_right(state, resources)
        leaving = {name: old for name, old in held.items() if name not in resources}
        if leaving and state.type is TypeUrl.CLUSTER and not self._leaving_allowed(state):
            # P-094: first what is new beside what is old; the old ones go once no route names them.
            resources = {name: {**leaving, **resources}[name] for name in sorted({*leaving, *resources})}
            leaving, postponed = {}, set(leaving)
        else:
            postponed = set[str]()
        changed = self._changed(state, resources)
        owed = state.asked
        missing = [name for name in state.due if name not in resources]
        state.dirty, state.due, state.answer_due = postponed, set(), False
        if not (changed or leaving or owed):
            return None
        for name in leaving:
            state.ledger.forget(name)
        self._held[state.type] = resources
        # P-032: what was rejected the client may use or not, so that any version of it may be news to it.
        doubtful = state.ledger.rejected.keys() & resources.keys() - postponed
        self._void_children((*changed, *(resources[name] for name in sorted(doubtful))))
        return self._respond(state, self._full_version(state, resources), resources, missing)

    def _set_right(self, state: TypeState, resources: Mapping[str, Resource]) -> None:
        """Hold what the client uses in place of what it rejected: that must not go out with the next list."""
        held, ledger = self._held[state.type], state.ledger
        for name in ledger.rejected.keys() & held.keys():
            if name in resources and ledger.holds(name, resources[name].version):
                held[name] = resources[name]
            elif name not in resources and not state.brings and ledger.took_nothing(name):
                del held[name]
                if not self._untaken(state, name):
                    ledger.forget(name)

    def _taken(self, state: TypeState) -> dict[str, Resource]:
        """Give everything subscribed to without what is withheld from the client, unless it asks for it."""
        wanted = self._wanted(state)
        withheld = {name for type_url, name in self.snapshot.replaced if type_url is state.type}
        for name in withheld & wanted.keys() - state.due:
            if self._untaken(state, name):
                del wanted[name]
        return wanted

    def _leaving_allowed(self, state: TypeState) -> bool:
        """Tell whether clusters may go: nothing new to send or be answered first, and the routes settled."""
        new = any(resource is not None for _, resource in self._differing(state))
        return not (new or state.ledger.outstanding) and self._settled(ROUTING)

    def _full_version(self, state: TypeState, resources: dict[str, Resource]) -> str:
        current = self.snapshot.sets[state.type]
        same = state.subscription.wildcard and len(resources) == len(current.wildcard)
        return current.version if same else set_version(resources.values())

    def _partial(self, state: TypeState) -> Response | None:
        """EDS, RDS, SDS: only what changed or was asked for; what is not mentioned stays (P-042, P-062)."""
        resources = {} if self._behind_clusters(state) else self._changes(state)
        missing = []
        for name in sorted(state.due):
            resource = self._resource(state, name)
            if resource is not None:
                resources[name] = resource
            elif state.type is TypeUrl.ENDPOINTS:
                # P-065: silence would keep the cluster in warming for 15 s.
                resources[name] = no_endpoints(name)
            else:
                missing.append(name)
        state.due, state.answer_due = set(), False
        if not (resources or (missing and self._client is Client.GRPC)):
            return None
        return self._respond(state, self.snapshot.sets[state.type].version, resources, missing)

    def _changes(self, state: TypeState) -> dict[str, Resource]:
        changes = {}
        for name, changed in self._differing(state):
            if changed is None:
                # Deletion of these types is implicit in their parents; a later return is sent anew (P-082).
                state.ledger.forget(name)
            else:
                changes[name] = changed
        state.dirty = set()
        return changes

    def _respond(
        self, state: TypeState, version: str, resources: dict[str, Resource], missing: Iterable[str]
    ) -> Response:
        nonce = self._next_nonce(state)
        state.ledger.record(nonce, version, resources, self._now)
        head = DiscoveryResponse(
            version_info=version, type_url=state.type, nonce=nonce, control_plane=self._control_plane()
        )
        if self._client is Client.GRPC:
            # P-105: otherwise a gRPC client waits 15 s before it tells that there is none.
            for name in missing:
                _add_not_found(head, state.type, name)
        parts = [part for resource in resources.values() for part in resource.sotw]
        payload = b"".join((head.SerializeToString(), *parts))
        return Response(type=state.type, version=version, nonce=nonce, payload=payload)


def _add_not_found(head: DiscoveryResponse, type_url: TypeUrl, name: str) -> None:
    error = head.resource_errors.add()
    error.resource_name.name = name
    error.error_detail.code = _NOT_FOUND
    error.error_detail.message = f"there is no {type_url.short} {name}"


def no_endpoints(name: str) -> Resource:
    """Say explicitly that a cluster has no endpoints."""
    return Resource.of(draft(TypeUrl.ENDPOINTS, name, ClusterLoadAssignment(cluster_name=name)))


def _claims(request: DiscoveryRequest) -> dict[str, str]:
    """Give what a client says it has as its stream begins: a version of all there is."""
    return {WILDCARD: request.version_info} if request.version_info else {}
