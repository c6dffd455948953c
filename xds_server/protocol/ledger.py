"""What one client was sent of one type, what it acknowledged, and what it rejected, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from xds_server.model.types import TypeUrl
from xds_server.protocol.names import NOTHING
from xds_server.protocol.sent import Sent
from xds_server.snapshot import Resource


class State(StrEnum):
    """Where a resource stands with one client."""

    NOT_SENT = "not_sent"
    SENT = "sent"
    ACKED = "acked"
    NACKED = "nacked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStatus:
    """One resource as one client has it; versions are empty where there is none, times are Unix seconds.

    `accepted` is the last version the client acknowledged, `rejected` the one it refused, `error` its text.
    Of what is acknowledged the times are those of the last acknowledged response of the type.
    """

    type: TypeUrl
    name: str
    state: State
    sent: str = ""
    accepted: str = ""
    rejected: str = ""
    sent_at: float | None = None
    answered_at: float | None = None
    error: str = ""


@dataclass(slots=True)
class Delivery:
    """A response on its way, and what became of it. Its resources are let go once it is answered."""

    version: str
    sent_at: float
    resources: Mapping[str, Resource] = field(repr=False)
    answered_at: float | None = None
    error: str = ""


class _Refusal(NamedTuple):
    """The response that carried a rejected version, and whether that alone was not accepted of it before."""

    delivery: Delivery
    alone: bool


_NOTHING_MORE: Final[Mapping[str, Resource]] = MappingProxyType({})


class Ledger:
    """The state of one resource type on one stream.

    `sent` is the newest version of each name that went out (or that a reconnecting client said it has). A
    rejected version stays in `sent`, so it is not sent again until the content changes (P-030); `rejected`
    remembers that the client does not have it (P-032). All that is kept here for a name is of what is not
    accepted, so that a stream that has acknowledged everything holds next to nothing.
    """

    __slots__ = ("_accepted", "_before", "_refusals", "_several", "outstanding", "rejected", "sent")

    def __init__(self) -> None:
        self.sent = Sent()
        self.rejected: dict[str, str] = {}
        self.outstanding: dict[str, Delivery] = {}
        """Responses that are not answered, by nonce, oldest first."""
        self._before: dict[str, str] = {}
        """The last accepted version of each name whose sent one is not accepted; empty if there is none."""
        self._several: frozenset[str] = NOTHING
        """Names of which more than one version was sent since one was accepted: any of them may be in use."""
        self._refusals: dict[str, _Refusal] = {}
        """How the rejected version of each name was rejected."""
        self._accepted: Delivery | None = None
        """The response that was acknowledged last."""

    def record(self, nonce: str, version: str, resources: Mapping[str, Resource], at: float) -> None:
        """Note a response before it is handed to the transport, as the ACK may overtake (P-024)."""
        self.outstanding[nonce] = Delivery(version, at, resources)
        before = self.sent.take(resources)
        if not self._before:
            self._before = before
            return
        # Of a name that is not accepted yet this is one version more.
        self._several |= before.keys() & self._before.keys()
        self._before = before | self._before

    def bring(self, name: str, version: str) -> None:
        """Note what a reconnecting client says it has."""
        self.sent.put(name, version)

    def acknowledge(self, nonce: str, at: float) -> Delivery:
        """Settle a response: the client has what it carried."""
        delivery = self.outstanding.pop(nonce)
        resources = self._answered(delivery, at, "")
        if resources:
            self._accepted = delivery
        self._accept(resources)
        return Delivery(delivery.version, delivery.sent_at, resources)

    def reject(self, nonce: str, at: float, error: str) -> Delivery:
        """Settle a response: the client may have part of what it carried, or nothing."""
        delivery = self.outstanding.pop(nonce)
        resources = self._answered(delivery, at, error)
        unaccepted = [name for name, one in resources.items() if not self.accepts(name, one.version)]
        refusal = _Refusal(delivery, alone=len(unaccepted) == 1)
        for name, one in resources.items():
            # What was dropped, or sent again in another version, since then is not at stake any more.
            if self.sent.get(name) == one.version:
                self.rejected[name] = one.version
                self._refusals[name] = refusal
                # What was accepted before it came again, unchanged.
                self._before.setdefault(name, one.version)
        if len(unaccepted) > 1:
            # Of what is in bad company the client may use the new version, or the one before.
            self._several |= {name for name in unaccepted if self._before.get(name)}
        return Delivery(delivery.version, delivery.sent_at, resources)

    def on_its_way(self, name: str, version: str) -> bool:
        """Tell whether a response that is not answered carries this version."""
        carried = (one.resources.get(name) for one in self.outstanding.values())
        return any(one is not None and one.version == version for one in carried)

    def doubted(self, name: str, version: str) -> bool:
        """Tell whether a version that was sent is not accepted, and still the one that was sent last."""
        return self.sent.get(name) == version and not self.accepts(name, version)

    def accepts(self, name: str, version: str) -> bool:
        """Tell whether a version is the one of a name that was accepted last, and no other may be in use."""
        return self._before.get(name, self.sent.get(name)) == version and name not in self._several

    def may_have_older(self, name: str) -> bool:
        """Tell whether the client has, or may have, an older version of a name than the one it rejected."""
        return bool(self._before.get(name)) or name in self._several

    def took_nothing(self, name: str) -> bool:
        """Tell whether the client rejected the only version it was sent of a name."""
        return self._rejects_the_last(name) and self._before.get(name) == ""

    def refused_alone(self, name: str) -> bool:
        """Tell whether what the client rejected of a name came with nothing else that may be at fault."""
        return name in self._refusals and self._refusals[name].alone

    def holds(self, name: str, version: str) -> bool:
        """Tell whether a version need not be sent: it was, or is in use as the one after it was rejected."""
        if self.sent.get(name) == version:
            return True
        return self._rejects_the_last(name) and self._before.get(name) == version

    def _rejects_the_last(self, name: str) -> bool:
        """Tell whether of all versions since the accepted one the client was sent one, and rejected it."""
        rejected = self.rejected.get(name)
        return bool(rejected) and rejected == self.sent.get(name) and name not in self._several

    def _answered(self, delivery: Delivery, at: float, error: str) -> Mapping[str, Resource]:
        resources, delivery.resources = delivery.resources, _NOTHING_MORE
        delivery.answered_at, delivery.error = at, error
        return resources

    def _accept(self, resources: Mapping[str, Resource]) -> None:
        sent, before = self.sent, self._before
        newest = sent.wanted.is_all(resources) or resources is sent.step.news
        if newest and not (self.rejected or sent.exceptions) and before.keys() <= resources.keys():
            # Whoever takes what was sent last has everything: it need not be gone through.
            self._before, self._several = {}, NOTHING
            return
        for name in [name for name in before if name in resources]:
            version = resources[name].version
            if sent.get(name) == version:
                self._settle(name)
            elif name in sent:
                before[name] = version
        if not before:
            # One that was large stays large.
            self._before = {}

    def _settle(self, name: str) -> None:
        self._before.pop(name, None)
        if self.rejected:
            self.rejected.pop(name, None)
            self._refusals.pop(name, None)
        if self._several:
            self._several = self._several - {name} or NOTHING

    def forget(self, name: str) -> None:
        """Note that the client no longer has a resource, or no longer cares."""
        self.sent.put(name, "")
        self._settle(name)

    def forget_unwanted(self) -> None:
        """Note that the client no longer cares for what it does not subscribe to any more."""
        wanted = self.sent.wanted
        if not wanted.wildcard:
            for name in [name for name in {*self.sent.exceptions, *self._before} if name not in wanted.names]:
                self.forget(name)

    def status(self, type_url: TypeUrl, name: str) -> ResourceStatus:
        """Give where one resource stands."""
        sent = self.sent.get(name)
        if not sent:
            return ResourceStatus(type=type_url, name=name, state=State.NOT_SENT)
        unsettled = name in self._before
        state = State.NACKED if name in self.rejected else State.SENT if unsettled else State.ACKED
        delivery = self._last(name, state)
        return ResourceStatus(
            type=type_url,
            name=name,
            state=state,
            sent=sent,
            accepted=self._before[name] if unsettled else sent,
            rejected=self.rejected.get(name, ""),
            sent_at=delivery.sent_at if delivery else None,
            answered_at=delivery.answered_at if delivery else None,
            error=delivery.error if delivery and state is State.NACKED else "",
        )

    def _last(self, name: str, state: State) -> Delivery | None:
        """Give the response that brought a resource to where it stands."""
        if state is State.ACKED:
            return self._accepted
        if state is State.NACKED:
            return self._refusals[name].delivery if name in self._refusals else None
        carried = [one for one in self.outstanding.values() if name in one.resources]
        return carried[-1] if carried else None
