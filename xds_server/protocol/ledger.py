"""What one client was sent of one type, what it acknowledged, and what it rejected, and when.

`sent` is the newest version of each name that went out (or that a reconnecting client said it has). A
rejected version stays in `sent`, so it is not sent again until the content changes (P-030); `rejected`
remembers that the client does not have it (P-032).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from xds_server.model.types import TypeUrl
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


@dataclass(slots=True)
class Ledger:
    """The state of one resource type on one stream."""

    sent: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    outstanding: dict[str, Delivery] = field(default_factory=dict)
    """Responses that are not answered, by nonce, oldest first."""
    _before: dict[str, str] = field(default_factory=dict)
    """The last accepted version of each name whose sent one is not accepted; empty if there is none."""
    _several: set[str] = field(default_factory=set)
    """Names of which more than one version was sent since one was accepted: any of them may be in use."""
    _deliveries: dict[str, Delivery] = field(default_factory=dict)
    """The response that carried the sent version of each name."""

    def record(self, nonce: str, version: str, resources: Mapping[str, Resource], at: float) -> None:
        """Note a response before it is handed to the transport, as the ACK may overtake (P-024)."""
        delivery = Delivery(version, at, resources)
        self.outstanding[nonce] = delivery
        for name, resource in resources.items():
            if name not in self._before:
                self._before[name] = self.sent.get(name, "")
            elif self.sent.get(name) != resource.version:
                self._several.add(name)
            self.sent[name] = resource.version
            self._deliveries[name] = delivery

    def bring(self, name: str, version: str) -> None:
        """Note what a reconnecting client says it has."""
        self.sent[name] = version

    def acknowledge(self, nonce: str, at: float) -> Delivery:
        """Settle a response: the client has what it carried."""
        delivery = self.outstanding.pop(nonce)
        resources = self._answered(delivery, at, "")
        for name, resource in resources.items():
            if self.sent.get(name) == resource.version:
                self._before.pop(name, None)
                self.rejected.pop(name, None)
                self._several.discard(name)
            elif name in self.sent:
                self._before[name] = resource.version
        return Delivery(delivery.version, delivery.sent_at, resources)

    def reject(self, nonce: str, at: float, error: str) -> Delivery:
        """Settle a response: the client may have part of what it carried, or nothing."""
        delivery = self.outstanding.pop(nonce)
        resources = self._answered(delivery, at, error)
        # What was dropped, or sent again in another version, since then is not at stake any more.
        self.rejected.update(
            {name: one.version for name, one in resources.items() if self.sent.get(name) == one.version}
        )
        doubted = [name for name, one in resources.items() if self.doubted(name, one.version)]
        if len(doubted) > 1:
            # Of what is in bad company the client may use the new version, or the one before.
            self._several.update(name for name in doubted if self._before[name])
        return Delivery(delivery.version, delivery.sent_at, resources)

    def doubted(self, name: str, version: str) -> bool:
        """Tell whether a version that was sent is not accepted, and still the one that was sent last."""
        return self.sent.get(name) == version and self._before.get(name, version) != version

    def accepted(self, name: str) -> str:
        """Give the version that is accepted of a name whose last one is not; empty for none."""
        return self._before.get(name, "")

    def took_nothing(self, name: str) -> bool:
        """Tell whether the client rejected the only version it was sent of a name."""
        return self._rejects_the_last(name) and self._before.get(name) == ""

    def holds(self, name: str, version: str) -> bool:
        """Tell whether a version need not be sent: it was, or is in use as the one after it was rejected."""
        if self.sent.get(name) == version:
            return True
        return self._rejects_the_last(name) and self._before.get(name) == version

    def _rejects_the_last(self, name: str) -> bool:
        """Tell whether of all versions since the accepted one the client was sent one, and rejected it."""
        return name in self.sent and self.rejected.get(name) == self.sent[name] and name not in self._several

    def _answered(self, delivery: Delivery, at: float, error: str) -> Mapping[str, Resource]:
        resources, delivery.resources = delivery.resources, {}
        delivery.answered_at, delivery.error = at, error
        return resources

    def forget(self, name: str) -> None:
        """Note that the client no longer has a resource, or no longer cares."""
        for kept in (self.sent, self.rejected, self._before, self._deliveries):
            kept.pop(name, None)
        self._several.discard(name)

    def status(self, type_url: TypeUrl, name: str) -> ResourceStatus:
        """Give where one resource stands."""
        if name not in self.sent:
            return ResourceStatus(type=type_url, name=name, state=State.NOT_SENT)
        delivery = self._deliveries.get(name)
        unsettled = name in self._before
        state = State.NACKED if name in self.rejected else State.SENT if unsettled else State.ACKED
        return ResourceStatus(
            type=type_url,
            name=name,
            state=state,
            sent=self.sent[name],
            accepted=self._before[name] if unsettled else self.sent[name],
            rejected=self.rejected.get(name, ""),
            sent_at=delivery.sent_at if delivery else None,
            answered_at=delivery.answered_at if delivery else None,
            error=delivery.error if delivery and state is State.NACKED else "",
        )
