"""Incremental: requests add and drop names, and say what the client acknowledges and what it has already."""

from collections.abc import Iterable, Mapping

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from xds_server.model.types import TypeUrl
from xds_server.protocol.claims import shared_claims
from xds_server.protocol.delta_push import DeltaPush
from xds_server.protocol.messages import Answer, Response
from xds_server.protocol.names import NOTHING
from xds_server.protocol.order import REMOVED_AFTER
from xds_server.protocol.subscription import WILDCARD
from xds_server.protocol.type_state import TypeState
from xds_server.snapshot import Resource
from xds_server.translate.names import virtual_host_of


class DeltaMachine(DeltaPush):
    """One `DeltaAggregatedResources` stream, or one of a type of its own."""

    def _take(self, state: TypeState, request: DeltaDiscoveryRequest) -> Answer | None:
        answer: Answer | None = None
        if request.response_nonce in state.ledger.outstanding:
            answer = self._settle(state, request)
        elif request.HasField("error_detail"):
            answer = self._foreign_rejection(state, request, self._claims(state, request))
        names_none = not (request.resource_names_subscribe or request.resource_names_unsubscribe)
        if state.started and names_none:
            # It was an ACK, and no more than that.
            return answer
        # P-076: subscriptions count whatever the nonce is.
        subscription = state.subscription
        before = subscription.wildcard
        first, state.started = not state.started, True
        subscribe, unsubscribe = self._own_names(state, request)
        subscription.change(subscribe, unsubscribe)
        state.subscribed(self.snapshot.sets[state.type])
        asked = subscription.names & subscribe
        if len(asked) == len(subscription.names):
            asked = subscription.names
        if first:
            claims = self._claims(state, request)
            current = self._resume(state, claims)
            asked = self._waited_for(state, asked, current)
            # What is about to expire is renewed at once, not at the next heartbeat (P-100).
            state.due |= {name for name in self.snapshot.sets[state.type].expiring if name in current}
            answer = self._brought(state, current, claims) if answer is None else answer
        if subscription.wildcard and not before:
            state.dirty |= state.ledger.sent.exceptions.keys()
        # P-080: the start of a wildcard is answered even if there is nothing to say, as the client waits for
        # it; one that says what it has was answered before, by another stream (P-073).
        resumed = first and bool(request.initial_resource_versions)
        if subscription.wildcard and not (resumed and self._all_there(state)):
            state.answer_due |= not before or WILDCARD in subscribe
        # P-072: what is named in a subscription is sent again, even if believed current.
        state.due = state.due | asked if state.due else asked
        self._drop(state, unsubscribe)
        return answer

    def _own_names(
        self, state: TypeState, request: DeltaDiscoveryRequest
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Give the names a request subscribes to and unsubscribes from, as the resources call themselves."""
        subscribe = frozenset(request.resource_names_subscribe)
        unsubscribe = frozenset(request.resource_names_unsubscribe)
        if state.type is not TypeUrl.VIRTUAL_HOST:
            return subscribe, unsubscribe
        hosts = sorted(subscribe - {"", WILDCARD})
        own = self._asked_hosts.ask(
            hosts,
            state.subscription.names,
            lambda name: self.snapshot.resource(state.type, name) is not None,
        )
        state.answer_due |= bool(hosts)
        return frozenset(own) | (subscribe & {WILDCARD}), frozenset(map(virtual_host_of, unsubscribe))

    def _take_unknown(self, request: DeltaDiscoveryRequest) -> None:
        """Say that there is nothing of a type, so that the client does not wait for it (P-011)."""
        named = [name for name in request.resource_names_subscribe if name]
        if request.response_nonce and not named:
            return
        nonce = self._next_nonce()
        response = DeltaDiscoveryResponse(type_url=request.type_url, nonce=nonce, removed_resources=named)
        payload = response.SerializeToString()
        self._replies.append(Response(type=request.type_url, version="", nonce=nonce, payload=payload))

    def _claims(self, state: TypeState, request: DeltaDiscoveryRequest) -> Mapping[str, str]:
        """Give what a client says it has as its stream begins, by name.

        Clients that come back have what others have: then it is the very object that those were given.
        """
        if not request.initial_resource_versions:
            return {}
        claims, current = request.initial_resource_versions, state.wanted.versions
        return current if claims == current else shared_claims(claims)

    def _resume(self, state: TypeState, claims: Mapping[str, str]) -> Mapping[str, Resource]:
        """Take over what a reconnecting client says it has; give what is current (P-073, P-078)."""
        sent, void = state.ledger.sent, self._resent.pop(state.type, NOTHING)
        if not claims:
            return {}
        if claims is state.wanted.versions and not void:
            sent.put_all()
            return state.wanted.all
        current = {}
        for name, version in claims.items():
            # Without a version it is a virtual host the client was told is not there.
            if not (version and state.subscription.wants(name)) or name in void:
                continue
            state.ledger.bring(name, version)
            resource = state.resource(name)
            if resource is not None and resource.version == version:
                current[name] = resource
        state.dirty |= {*sent.stray}
        return current

    def _waited_for(
        self, state: TypeState, asked: frozenset[str], current: Mapping[str, Resource]
    ) -> frozenset[str]:
        """Give what of the names it asks for a client waits for: not what a reconnecting one has."""
        if not asked:
            return asked
        if state.type in REMOVED_AFTER:
            asked = asked.difference(state.ledger.sent.gone)
        if state.type is TypeUrl.VIRTUAL_HOST:
            # A caller may still wait for the spelling by which it asked for a host the client has.
            return asked
        return asked.difference(current.keys()) if current else asked

    def _all_there(self, state: TypeState) -> bool:
        """Tell whether nothing the client has is gone.

        Otherwise an empty answer goes out first, and the removal after its ACK: by then the client has asked
        for its listeners and routes on this stream too, and the removal waits for those (P-094).
        """
        return not state.ledger.sent.gone

    def _drop(self, state: TypeState, names: Iterable[str]) -> None:
        if state.subscription.wildcard:
            # P-051: the wildcard still covers the name, or says that it is gone.
            state.due |= {name for name in names if name != WILDCARD}
        elif names:
            state.drop_unwanted()
