"""State of the world: a request names all that is wanted, a CDS or LDS response holds all there is."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from xds_server.model.proxy import Client
from xds_server.model.table import Table, differing
from xds_server.model.types import TypeUrl
from xds_server.protocol import assembled
from xds_server.protocol.machine import Machine
from xds_server.protocol.messages import Answer, Response
from xds_server.protocol.names import NOTHING
from xds_server.protocol.order import FULL_STATE, PUSH_ORDER, ROUTING
from xds_server.protocol.recent import Recent
from xds_server.protocol.subscription import WILDCARD
from xds_server.protocol.type_state import TypeState
from xds_server.snapshot import Resource, Snapshot
from xds_server.snapshot.snapshot import set_version
from xds_server.translate.packing import draft

_FEW: Final = 16
"""How many lists, and their versions, are kept for the next stream."""

_EMPTY_KEPT: Final = 1_024


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
        self._held: dict[TypeUrl, Table[Resource]] = {}
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
        state.subscribed(self.snapshot.sets[state.type])
        # What was rejected may be there in part, whatever version the client says it has (P-032).
        if initial and answer is None and self._is_current(state, request.version_info):
            return self._brought(state, self._held[state.type], _claims(request))
        if initial and answer is None:
            answer = self._brought(state, {}, _claims(request))
        if added:
            state.due |= added - {WILDCARD} if WILDCARD in added else added
            # P-043: a list that only got shorter needs no answer.
            state.answer_due = True
        if WILDCARD in added:
            state.dirty |= state.ledger.sent.exceptions.keys()
        self._drop_unwanted(state)
        return answer

    def _is_current(self, state: TypeState, version: str) -> bool:
        """Tell whether a reconnecting client has everything already; the version says so by its content."""
        subscription, current = state.subscription, self.snapshot.sets[state.type]
        only_wildcard = subscription.wildcard and not subscription.names
        if not (version and only_wildcard and version == current.version):
            return False
        state.ledger.sent.put_all()
        self._held[state.type] = current.wildcard
        return True

    def _drop_unwanted(self, state: TypeState) -> None:
        state.drop_unwanted()
        held = self._held.get(state.type)
        if held and not state.wanted.wildcard:
            unwanted = held.keys() - state.wanted.names
            self._held[state.type] = held.changed(dict.fromkeys(unwanted))

    # --- what to send ------------------------------------------------------------------------------------

    def _responses(self) -> Iterator[Response]:
        """Give the responses in push order; of each type one push at most is unacknowledged."""
        # Clusters once more at the end: what left may go where the routes turned out to have nothing to say.
        for type_url in (*PUSH_ORDER, TypeUrl.CLUSTER, TypeUrl.ENDPOINTS):
            state = self.types.get(type_url)
            if (
                state is None
                or not (state.dirty or state.due or state.answer_due)
                or self._unacknowledged(state)
            ):
                continue
            response = self._full(state) if type_url in FULL_STATE else self._partial(state)
            if response is not None:
                yield response

    def _full(self, state: TypeState) -> Response | None:
        """CDS and LDS: everything subscribed to in one response, or nothing if the client has it (P-060)."""
        if not state.asked and (not state.dirty or self._behind_clusters(state)):
            return None
        resources = self._taken(state)
        self._set_right(state, resources)
        held = self._held.get(state.type, _NOTHING_HELD)
        leaving = {
            name: held[name] for name in differing(resources, held) if name in held and name not in resources
        }
        if leaving and state.type is TypeUrl.CLUSTER and not self._leaving_allowed(state):
            # P-094: first what is new beside what is old; the old ones go once no route names them.
            resources = _beside(resources, leaving, held)
            leaving, postponed = {}, frozenset(leaving)
        else:
            postponed = NOTHING
        changed = self._changed(state, resources)
        owed = state.asked
        missing = [name for name in state.due if name not in resources]
        state.dirty, state.due, state.answer_due = postponed, NOTHING, False
        if not (changed or leaving or owed):
            return None
        for name in leaving:
            state.ledger.forget(name)
        self._held[state.type] = resources
        # P-032: what was rejected the client may use or not, so that any version of it may be news to it.
        doubtful = state.ledger.rejected.keys() & resources.keys() - postponed
        self._void_children(state, (*changed, *(resources[name] for name in doubtful)))
        return self._respond(state, self._full_version(state, resources), resources, missing)

    def _set_right(self, state: TypeState, resources: Mapping[str, Resource]) -> None:
        """Hold what the client uses in place of what it rejected: that must not go out with the next list."""
        held, ledger = self._held.get(state.type, _NOTHING_HELD), state.ledger
        right: dict[str, Resource | None] = {}
        for name in ledger.rejected.keys() & held.keys():
            if name in resources and ledger.holds(name, resources[name].version):
                right[name] = resources[name]
            elif name not in resources and self._untaken(state, name):
                right[name] = None
            elif name not in resources and self._refuses_alone(state, name):
                right[name] = None
                ledger.forget(name)
        if right:
            self._held[state.type] = held.changed(right)

    def _refuses_alone(self, state: TypeState, name: str) -> bool:
        """Tell whether the client has nothing of a name; what is in bad company it may use (P-032)."""
        ledger = state.ledger
        return not state.brings and ledger.took_nothing(name) and ledger.refused_alone(name)

    def _taken(self, state: TypeState) -> Table[Resource]:
        """Give everything subscribed to without what is withheld from the client, unless it asks for it."""
        wanted = state.wanted.all
        withheld = {name for type_url, name in self.snapshot.replaced if type_url is state.type}
        untaken = [name for name in withheld - state.due if name in wanted and self._untaken(state, name)]
        return wanted.changed(dict.fromkeys(untaken))

    def _leaving_allowed(self, state: TypeState) -> bool:
        """Tell whether clusters may go: nothing new to send or be answered first, and the routes settled."""
        new = any(resource is not None for _, resource in self._differing(state))
        return not (new or state.ledger.outstanding) and self._settled(ROUTING)

    def _full_version(self, state: TypeState, resources: Table[Resource]) -> str:
        current = self.snapshot.sets[state.type]
        return current.version if resources is current.wildcard else _version(resources)

    def _partial(self, state: TypeState) -> Response | None:
        """EDS, RDS, SDS: only what changed or was asked for; what is not mentioned stays (P-042, P-062)."""
        asked, missing = self._answers(state) if state.due else ({}, [])
        changes = {} if self._behind_clusters(state) else self._changes(state)
        resources = {**changes, **asked} if changes and asked else changes or asked
        state.due, state.answer_due = NOTHING, False
        if not (resources or (missing and self._client is Client.GRPC)):
            return None
        return self._respond(state, self.snapshot.sets[state.type].version, resources, missing)

    def _answers(self, state: TypeState) -> tuple[Mapping[str, Resource], list[str]]:
        """Give what is there of what was asked for, and the names of what is not."""
        due, wanted = state.due, state.wanted
        if due == wanted.names and not wanted.wildcard and len(wanted.all) == len(due):
            return wanted.all, []
        resources, missing = {}, []
        for name in sorted(due):
            resource = wanted.get(name)
            if resource is not None:
                resources[name] = resource
            elif state.type is TypeUrl.ENDPOINTS:
                # P-065: silence would keep the cluster in warming for 15 s.
                resources[name] = no_endpoints(name)
            else:
                missing.append(name)
        return resources, missing

    def _changes(self, state: TypeState) -> Mapping[str, Resource]:
        news = state.news
        if news is not None:
            state.dirty = NOTHING
            return news
        changes = {}
        for name, changed in self._differing(state):
            if changed is None:
                # Deletion of these types is implicit in their parents; a later return is sent anew (P-082).
                state.ledger.forget(name)
            else:
                changes[name] = changed
        state.dirty = NOTHING
        return changes

    def _respond(
        self, state: TypeState, version: str, resources: Mapping[str, Resource], missing: Iterable[str]
    ) -> Response:
        # P-105: otherwise a gRPC client waits 15 s before it tells that there is none.
        told = sorted(missing) if self._client is Client.GRPC else ()
        return self._send(state, assembled.sotw(state.type, version, resources, told))


def _version(resources: Table[Resource]) -> str:
    """Give the version of a list that is not all there is: found once for all streams that are sent it."""
    key = (id(resources),)
    return _VERSIONS.get(key) or _VERSIONS.put(key, set_version(resources.values()), 1, resources)


def _beside(
    resources: Table[Resource], leaving: Mapping[str, Resource], held: Table[Resource]
) -> Table[Resource]:
    """Give new resources beside those of the held ones that leave later: one table for all streams."""
    key = id(resources), id(held)
    known = _BESIDE.get(key)
    if known is not None:
        return known
    return _BESIDE.put(key, resources.changed(leaving), 1, (resources, held))


_NOTHING_HELD: Final = Table[Resource]()
_VERSIONS: Final = Recent[str](_FEW)
_BESIDE: Final = Recent[Table[Resource]](_FEW)


@lru_cache(maxsize=_EMPTY_KEPT)
def no_endpoints(name: str) -> Resource:
    """Say explicitly that a cluster has no endpoints."""
    return Resource.of(draft(TypeUrl.ENDPOINTS, name, ClusterLoadAssignment(cluster_name=name)))


def _claims(request: DiscoveryRequest) -> dict[str, str]:
    """Give what a client says it has as its stream begins: a version of all there is."""
    return {WILDCARD: request.version_info} if request.version_info else {}
