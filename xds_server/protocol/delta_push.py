"""What a delta client is to be sent: answers first, then what changed, and last what is gone."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from xds_server.model.proxy import Client
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.protocol import assembled
from xds_server.protocol.machine import Machine
from xds_server.protocol.messages import Response
from xds_server.protocol.names import NOTHING
from xds_server.protocol.order import CHILD, PUSH_ORDER, REMOVED_AFTER
from xds_server.protocol.recent import Recent
from xds_server.protocol.type_state import TypeState
from xds_server.protocol.virtual_hosts import AskedNames
from xds_server.snapshot import Resource, Snapshot, absent

MAX_RESPONSE: Final = 3_500_000
"""Bytes of resources above which a response is split: many a client takes 4 MB at most (P-085, P-111)."""

_HEARTBEATS_IN_A_TTL: Final = 3

_ROOM: Final = 200_000
"""Resources whose portions are known for the next stream."""

_FEW: Final = 64
"""Resources that are sooner looked at than found among those that are known."""

_MANY: Final = 8
"""Names above which it is worth a look whether all is to be sent."""


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
        self._resent: dict[TypeUrl, frozenset[str]] = {}
        """Children whose parent was sent on this stream before they were asked for: no version counts."""

    def _stirred(self) -> bool:
        return bool(self._replies) or super()._stirred()

    def _responses(self) -> Iterator[Response]:
        replies, self._replies = self._replies, []
        yield from replies
        for type_url in PUSH_ORDER:
            state = self.types.get(type_url)
            if state is not None and (state.dirty or state.due or state.answer_due):
                yield from self._updates(state)
        for type_url in REMOVED_AFTER:
            state = self.types.get(type_url)
            if state is not None and state.dirty:
                yield from self._removals(state)

    def _updates(self, state: TypeState) -> Iterator[Response]:
        """Answer at once what was asked for (P-095); push changes once all is acknowledged (P-034)."""
        owed = state.asked
        resources, removed = self._answers(state) if state.due else ({}, [])
        # A wildcard that begins is answered whole.
        if state.answer_due or not (self._unacknowledged(state) or self._behind_clusters(state)):
            resources, removed = self._with_changes(state, resources, removed)
        if state.dirty and (resources or removed):
            state.dirty = state.dirty.difference(resources, removed) or NOTHING
        if state.type in CHILD:
            self._note_children(state, self._changed(state, resources))
        state.due, state.answer_due = NOTHING, False
        if resources or removed or owed:
            yield from self._respond(state, resources, removed)

    def _answers(self, state: TypeState) -> tuple[Mapping[str, Resource], list[str]]:
        """Give what is there of what was asked for, and the names of what is not."""
        due, wanted = state.due, state.wanted
        resources: Mapping[str, Resource]
        if due == wanted.names and not wanted.wildcard:
            resources = wanted.all
        else:
            resources = {name: one for name in sorted(due) if (one := wanted.get(name)) is not None}
        missing = sorted(due.difference(resources)) if len(resources) < len(due) else []
        if state.type is TypeUrl.VIRTUAL_HOST:
            missing = [name for name in missing if name in state.ledger.sent]
        # P-074: an explicit "there is none" ends the client's wait at once.
        return resources, missing

    def _with_changes(
        self, state: TypeState, resources: Mapping[str, Resource], removed: list[str]
    ) -> tuple[Mapping[str, Resource], list[str]]:
        """Add what changed; what is to be removed later stays dirty."""
        shared = None if resources else state.news or self._all_anew(state)
        if shared is not None:
            state.dirty = NOTHING
            return shared, removed
        later, changes = set(), dict[str, Resource]()
        for name, resource in self._differing(state):
            if resource is not None:
                changes[name] = resource
            elif state.type in REMOVED_AFTER:
                later.add(name)
            elif name not in removed:
                removed.append(name)
        state.dirty = frozenset(later) if later else NOTHING
        return ({**resources, **changes} if changes and resources else changes or resources), removed

    def _all_anew(self, state: TypeState) -> Mapping[str, Resource] | None:
        """Give everything that is wanted, if nothing of it was sent yet and all of it is to be."""
        if len(state.dirty) < _MANY or state.ledger.rejected or not state.ledger.sent.nothing:
            return None
        everything = state.wanted.all
        return everything if state.dirty >= everything.keys() else None

    def _note_children(self, state: TypeState, parents: Collection[Resource]) -> None:
        self._void_children(state, parents)
        child = CHILD[state.type]
        if child not in self.types:
            names = frozenset(
                one.name for parent in parents for one in parent.references if one.type is child
            )
            self._resent[child] = self._resent.get(child, NOTHING) | names

    def _removals(self, state: TypeState) -> Iterator[Response]:
        """Name what is gone, once nothing the client has leads there (P-086, P-094)."""
        if state.ledger.outstanding or not self._removal_allowed(state):
            return
        removed, later = [], set()
        for name, resource in self._differing(state):
            if resource is None:
                removed.append(name)
            else:
                later.add(name)
        state.dirty = frozenset(later) if later else NOTHING
        if removed:
            yield from self._respond(state, {}, removed)

    def _removal_allowed(self, state: TypeState) -> bool:
        if not self._settled(REMOVED_AFTER[state.type]):
            return False
        clusters = self.types.get(TypeUrl.CLUSTER)
        return state.type is not TypeUrl.ENDPOINTS or clusters is None or clusters.idle

    def _respond(
        self, state: TypeState, resources: Mapping[str, Resource], removed: list[str]
    ) -> Iterator[Response]:
        """Give the response, or several where it would be too large for one (P-085)."""
        sequence = self.snapshot.sequence
        hosts = state.type is TypeUrl.VIRTUAL_HOST
        absent_hosts = self._absent_hosts({*resources, *removed}) if hosts else []
        for portion in portions(resources):
            for name in removed:
                state.ledger.forget(name)
            if hosts:
                head = assembled.delta_head(state.type, sequence, removed)
                entries = (*absent_hosts, *self._hosts(portion))
                yield self._send(state, assembled.Message(head, portion, entries))
            else:
                yield self._send(state, assembled.delta(state.type, sequence, portion, removed))
            removed, absent_hosts = [], []

    def _hosts(self, hosts: Mapping[str, Resource]) -> Iterator[bytes]:
        """Give virtual hosts, to be joined, each with what this client asked for it by."""
        for name, host in hosts.items():
            yield from host.delta_as(self._asked_hosts.take(name))

    def _absent_hosts(self, present: set[str]) -> list[bytes]:
        """Say of the virtual hosts that are asked for and not there that there is none."""
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
            if renewed := self._expiring(state):
                state.nonce = nonce = self._next_nonce()
                state.ledger.record(nonce, "", {}, at)
                head = DeltaDiscoveryResponse(type_url=state.type, nonce=nonce).SerializeToString()
                payload = b"".join((head, *(one.heartbeat for one in renewed)))
                beats.append(Response(type=state.type, version="", nonce=nonce, payload=payload))
        return beats

    def _expiring(self, state: TypeState) -> list[Resource]:
        """Give what the client has of the snapshot that expires."""
        expiring = self.snapshot.sets[state.type].expiring
        ledger = state.ledger
        return (
            [
                one
                for name, one in expiring.items()
                if ledger.sent.get(name) == one.version and name not in ledger.rejected
            ]
            if expiring
            else []
        )


def portions(resources: Mapping[str, Resource]) -> Sequence[Mapping[str, Resource]]:
    """Cut resources into portions of at most MAX_RESPONSE bytes, or one resource; at least one portion."""
    if len(resources) <= _FEW or not isinstance(resources, Table):
        return tuple(_cut(resources))
    known = _PORTIONS.get((id(resources),))
    return known or _PORTIONS.put((id(resources),), tuple(_cut(resources)), len(resources), resources)


def _cut(resources: Mapping[str, Resource]) -> Iterator[Mapping[str, Resource]]:
    portion: dict[str, Resource] = {}
    size = 0
    if len(resources) == 1 or sum(sum(map(len, one.delta)) for one in resources.values()) <= MAX_RESPONSE:
        # What is shared stays so.
        yield resources
        return
    for name, resource in resources.items():
        length = sum(map(len, resource.delta))
        if portion and size + length > MAX_RESPONSE:
            yield portion
            portion, size = {}, 0
        portion[name] = resource
        size += length
    yield portion


_PORTIONS: Final = Recent[Sequence[Mapping[str, Resource]]](_ROOM)
