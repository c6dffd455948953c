"""One resource type on one stream."""

from xds_server.model.proxy import Client
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.protocol.ledger import Ledger
from xds_server.protocol.names import NOTHING
from xds_server.protocol.order import FULL_STATE
from xds_server.protocol.subscription import Subscription
from xds_server.protocol.wanted import Wanted, wanted
from xds_server.snapshot import Resource, ResourceSet


class TypeState:
    """One resource type on one stream: an independent sub-stream with its own nonces (P-004)."""

    __slots__ = ("answer_due", "brings", "dirty", "due", "ledger", "nonce", "started", "subscription", "type")

    def __init__(self, type_url: TypeUrl, client: Client) -> None:
        self.type = type_url
        # P-055: a gRPC client that names nothing wants nothing.
        self.subscription = Subscription(legacy_wildcard=type_url in FULL_STATE and client is Client.ENVOY)
        self.ledger = Ledger()
        self.due = NOTHING
        """Names to be answered whatever the client is believed to have: it asked, or its copy is void."""
        self.dirty = NOTHING
        """Subscribed names whose content may differ from what was sent."""
        self.brings = False
        """Whether the client may have resources that are not in the ledger, from an earlier stream."""
        self.started = False
        """Whether a request of this type was taken on this stream."""
        self.nonce = ""
        """The nonce of the newest response of this type on this stream."""
        self.answer_due = False
        """Whether a response is owed even if it is empty."""

    @property
    def asked(self) -> bool:
        """Whether the client waits for an answer."""
        return self.answer_due or bool(self.due)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to send and nothing unanswered."""
        return not (self.ledger.outstanding or self.due or self.dirty)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to send, and the client has everything it was sent."""
        return self.idle and not self.ledger.rejected

    @property
    def wanted(self) -> Wanted:
        """What of the snapshot the client is to have."""
        return self.ledger.sent.wanted

    def resource(self, name: str) -> Resource | None:
        """Give a resource as this client is to have it, or None."""
        return self.ledger.sent.wanted.get(name)

    def subscribed(self, available: ResourceSet) -> None:
        """Go over to what is wanted if the subscription has changed."""
        now = wanted(available, self.subscription.names, wildcard=self.subscription.wildcard)
        if now is not self.wanted:
            self.ledger.sent.subscribed(now)

    def offered(self, available: ResourceSet, changed: frozenset[str]) -> None:
        """Go over to another set of resources, in which these names are others."""
        names = self.ledger.sent.offered(available, changed)
        self.dirty = self.dirty | names if self.dirty else names

    @property
    def news(self) -> Table[Resource] | None:
        """What there is to send where that is just what the last step brought; None where it is not so plain.

        It is the very table that all streams are sent that took this step.
        """
        sent = self.ledger.sent
        step = sent.step
        plain = self.dirty is step.names and not self.ledger.rejected and sent.behind_a_step
        return step.news if plain and len(step.news) == len(step.names) else None

    def drop_unwanted(self) -> None:
        """Let go of what is not subscribed to any more."""
        self.ledger.forget_unwanted()
        if not self.wanted.wildcard:
            self.dirty = self.dirty & self.wanted.names or NOTHING
            self.due = self.due & self.wanted.names or NOTHING
