"""What a delta client is to be sent: answers first, then what changed, and last what is gone."""

from collections.abc import Iterator
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.protocol.machine import Machine, TypeState
from xds_server.protocol.messages import Response
from xds_server.protocol.order import CHILD, PUSH_ORDER, REMOVED_AFTER
from xds_server.protocol.virtual_hosts import AskedNames
from xds_server.snapshot import Resource, Snapshot, absent

MAX_RESPONSE: Final = 3_500_000
"""Bytes of resources above which a response is split: many a client takes 4 MB at most (P-085, P-111)."""

_HEARTBEATS_IN_A_TTL: Final = 3


class DeltaPush(Machine):
    """The sending half of a delta stream; `DeltaMachine` adds the taking of requests."""

    def __init__(
        self,
        snapshot: Snapshot,
        identifier: str,
        client: Client = Client.ENVOY,
        only: TypeUrl | None = None,
    ) -> None:
        super().__init__(snapshot, identifier, client, only)
        self._asked_hosts = AskedNames()
        self._replies: list[Response] = []
        """Answers to requests of types this server does not serve."""
        self._resent: dict[TypeUrl, set[str]] = {child: set() for child in CHILD.values()}
        """Children whose parent was sent on this stream before they were asked for: no version counts."""

    def _responses(self) -> Iterator[Response]:
        replies, self._replies = self._replies, []
        yield from replies
        for type_url in PUSH_ORDER:
            if (state := self.types.get(type_url)) is not None:
                yield from self._updates(state)
        for type_url in REMOVED_AFTER:
            if (state := self.types.get(type_url)) is not None:
                yield from self._removals(state)

    def _updates(self, state: TypeState) -> Iterator[Response]:
        """Answer at once what was asked for (P-095); push changes once all is acknowledged (P-034)."""
        if not (state.asked or state.dirty):
            return
        resources: dict[str, Resource] = {}
        removed: list[str] = []
        for name in sorted(state.due):
            resource = self._resource(state, name)
            if resource is None:
                # P-074: an explicit "there is none" ends the client's wait at once.
                if state.type is not TypeUrl.VIRTUAL_HOST or name in state.ledger.sent:
                    removed.append(name)
            else:
                resources[name] = resource
        owed = state.asked
        # A wildcard that begins is answered whole.
        if state.answer_due or not (self._unacknowledged(state) or self._behind_clusters(state)):
            self._add_changes(state, resources, removed)
        state.dirty -= {*resources, *removed}
        changed = self._changed(state, resources)
        state.due, state.answer_due = set(), False
        if not (resources or removed or owed):
            return
        self._note_children(changed)
        yield from self._respond(state, resources, removed)

    def _add_changes(self, state: TypeState, resources: dict[str, Resource], removed: list[str]) -> None:
        later = set()
        for name, resource in self._differing(state):
            if resource is not None:
                resources[name] = resource
            elif state.type in REMOVED_AFTER:
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

    def _removals(self, state: TypeState) -> Iterator[Response]:
        """Name what is gone, once nothing the client has leads there (P-086, P-094)."""
        if not state.dirty or state.ledger.outstanding or not self._removal_allowed(state):
            return
        removed, later = [], set()
        for name, resource in self._differing(state):
            if resource is None:
                removed.append(name)
            else:
                later.add(name)
        state.dirty = later
        if removed:
            yield from self._respond(state, {}, removed)

    def _removal_allowed(self, state: TypeState) -> bool:
        if not self._settled(REMOVED_AFTER[state.type]):
            return False
        clusters = self.types.get(TypeUrl.CLUSTER)
        return state.type is not TypeUrl.ENDPOINTS or clusters is None or clusters.idle

    def _respond(
        self, state: TypeState, resources: dict[str, Resource], removed: list[str]
    ) -> Iterator[Response]:
        """Give the response, or several where it would be too large for one (P-085)."""
        entries = self._absent_entries(state, {*resources, *removed})
        for portion in _portions(resources):
            entries += self._entries(state, portion)
            yield self._response(state, portion, removed, entries)
            removed, entries = [], []

    def _response(
        self, state: TypeState, resources: dict[str, Resource], removed: list[str], entries: list[bytes]
    ) -> Response:
        nonce = self._next_nonce(state)
        for name in removed:
            state.ledger.forget(name)
        state.ledger.record(nonce, "", resources, self._now)
        head = DeltaDiscoveryResponse(
            # P-083: for people only, so it costs nothing; the versions that count are those of the resources.
            system_version_info=str(self.snapshot.sequence),
            type_url=state.type,
            nonce=nonce,
            removed_resources=removed,
            control_plane=self._control_plane(),
        ).SerializeToString()
        return Response(type=state.type, version="", nonce=nonce, payload=b"".join((head, *entries)))

    def _entries(self, state: TypeState, resources: dict[str, Resource]) -> list[bytes]:
        """Give the `resources` of a response, to be joined; virtual hosts with what they were asked by."""
        if state.type is not TypeUrl.VIRTUAL_HOST:
            return [part for resource in resources.values() for part in resource.delta]
        asked = {name: self._asked_hosts.take(name) for name in resources}
        return [part for name, one in resources.items() for part in one.delta_as(asked[name])]

    def _absent_entries(self, state: TypeState, present: set[str]) -> list[bytes]:
        """Say of the virtual hosts that are asked for and not there that there is none."""
        if state.type is not TypeUrl.VIRTUAL_HOST:
            return []
        # Each under the name it was asked by: Envoy takes a second one of a name for a heartbeat.
        return [absent(asked) for asked in self._asked_hosts.take_absent(present)]

    # --- time to live (P-100) ----------------------------------------------------------------------------

    @property
    def heartbeat_interval(self) -> float | None:
        """How often `heartbeats` is to be sent, in seconds; None where nothing the client has expires."""
        lives = [one.ttl for state in self.types.values() for one in self._expiring(state) if one.ttl]
        return min(lives) / _HEARTBEATS_IN_A_TTL if lives else None

    def heartbeats(self, at: float) -> list[Response]:
        """Give the responses that renew what expires without sending it again."""
        self._now = at
        beats = []
        for state in self.types.values():
            if renewed := list(self._expiring(state)):
                nonce = self._next_nonce(state)
                state.ledger.record(nonce, "", {}, at)
                head = DeltaDiscoveryResponse(type_url=state.type, nonce=nonce).SerializeToString()
                payload = b"".join((head, *(one.heartbeat for one in renewed)))
                beats.append(Response(type=state.type, version="", nonce=nonce, payload=payload))
        return beats

    def _expiring(self, state: TypeState) -> Iterator[Resource]:
        """Give what the client has of the snapshot that expires."""
        for name, resource in self.snapshot.sets[state.type].expiring.items():
            if state.ledger.sent.get(name) == resource.version and name not in state.ledger.rejected:
                yield resource


def _portions(resources: dict[str, Resource]) -> Iterator[dict[str, Resource]]:
    """Cut resources into portions of at most MAX_RESPONSE bytes, or one resource; at least one portion."""
    portion: dict[str, Resource] = {}
    size = 0
    for name, resource in resources.items():
        length = sum(map(len, resource.delta))
        if portion and size + length > MAX_RESPONSE:
            yield portion
            portion, size = {}, 0
        portion[name] = resource
        size += length
    yield portion
