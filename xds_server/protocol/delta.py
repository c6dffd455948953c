"""Incremental: requests add and drop names, and say what the client acknowledges and what it has already."""

from collections.abc import Iterable, Mapping

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from xds_server.model.types import TypeUrl
from xds_server.protocol.delta_push import DeltaPush
from xds_server.protocol.machine import TypeState
from xds_server.protocol.messages import Answer, Response
from xds_server.protocol.order import REMOVED_AFTER
from xds_server.protocol.subscription import WILDCARD
from xds_server.snapshot import Resource
from xds_server.translate.names import virtual_host_of


class DeltaMachine(DeltaPush):
    """One `DeltaAggregatedResources` stream, or one of a type of its own."""

    def _take(self, state: TypeState, request: DeltaDiscoveryRequest) -> Answer | None:
        answer: Answer | None
        if request.response_nonce in state.ledger.outstanding:
            answer = self._settle(state, request)
        else:
            answer = self._foreign_rejection(state, request, _claims(request))
        # P-076: subscriptions count whatever the nonce is.
        subscription = state.subscription
        before = subscription.wildcard
        first, state.started = not state.started, True
        subscribe, unsubscribe = self._own_names(state, request)
        subscription.change(subscribe, unsubscribe)
        asked = {name for name in subscribe if name in subscription.names}
        if first:
            current = self._resume(state, request)
            asked -= self._not_waited_for(state, current)
            # What is about to expire is renewed at once, not at the next heartbeat (P-100).
            state.due.update(name for name, resource in current.items() if resource.ttl is not None)
            answer = self._brought(state, current, _claims(request)) if answer is None else answer
        if subscription.wildcard and not before:
            state.dirty |= {*self.snapshot.sets[state.type].wildcard, *state.ledger.sent}
        # P-080: the start of a wildcard is answered even if there is nothing to say, as the client waits for
        # it; one that says what it has was answered before, by another stream (P-073).
        resumed = first and bool(request.initial_resource_versions)
        if subscription.wildcard and not (resumed and self._all_there(state)):
            state.answer_due |= not before or WILDCARD in subscribe
        # P-072: what is named in a subscription is sent again, even if believed current.
        state.due |= asked
        self._drop(state, unsubscribe)
        return answer

    def _own_names(self, state: TypeState, request: DeltaDiscoveryRequest) -> tuple[list[str], list[str]]:
        """Give the names a request subscribes to and unsubscribes from, as the resources call themselves."""
        subscribe = list(request.resource_names_subscribe)
        unsubscribe = list(request.resource_names_unsubscribe)
        if state.type is not TypeUrl.VIRTUAL_HOST:
            return subscribe, unsubscribe
        known = state.subscription.names
        hosts = [name for name in subscribe if name not in ("", WILDCARD)]
        own = self._asked_hosts.ask(
            hosts, known, lambda name: self.snapshot.resource(state.type, name) is not None
        )
        state.answer_due |= bool(hosts)
        wildcard = [WILDCARD] if WILDCARD in subscribe else []
        return wildcard + own, [virtual_host_of(name) for name in unsubscribe]

    def _take_unknown(self, request: DeltaDiscoveryRequest) -> None:
        """Say that there is nothing of a type, so that the client does not wait for it (P-011)."""
        named = [name for name in request.resource_names_subscribe if name]
        if request.response_nonce and not named:
            return
        self._count += 1
        nonce = f"{self._count:x}"
        response = DeltaDiscoveryResponse(type_url=request.type_url, nonce=nonce, removed_resources=named)
        payload = response.SerializeToString()
        self._replies.append(Response(type=request.type_url, version="", nonce=nonce, payload=payload))

    def _resume(self, state: TypeState, request: DeltaDiscoveryRequest) -> dict[str, Resource]:
        """Take over what a reconnecting client says it has; give what is current (P-073, P-078)."""
        void = self._resent.get(state.type, set())
        current = {}
        for name, version in request.initial_resource_versions.items():
            # Without a version it is a virtual host the client was told is not there.
            if not (version and state.subscription.wants(name)) or name in void:
                continue
            state.ledger.bring(name, version)
            resource = self._resource(state, name)
            if resource is not None and resource.version == version:
                current[name] = resource
        state.dirty |= state.ledger.sent.keys() - current.keys()
        return current

    def _not_waited_for(self, state: TypeState, current: Mapping[str, Resource]) -> set[str]:
        """Name what a reconnecting client asks for again and does not wait for, as it has it."""
        gone = {name for name in state.ledger.sent if self._resource(state, name) is None}
        held = gone if state.type in REMOVED_AFTER else set()
        if state.type is TypeUrl.VIRTUAL_HOST:
            # A caller may still wait for the spelling by which it asked for a host the client has.
            return held
        return {*held, *current}

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


def _claims(request: DeltaDiscoveryRequest) -> dict[str, str]:
    """Give what a client says it has as its stream begins, by name."""
    return dict(request.initial_resource_versions)
