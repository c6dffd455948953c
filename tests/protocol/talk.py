"""A scripted client: says what the test tells it to, and gives what the machine answers, decoded.

Every answer passes the rules that hold for all of them: a nonce that is new, no canary, resources of the
type of the response, no name twice, and in delta the version of each resource.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.rpc.status_pb2 import Status

from tests.protocol.resources import content
from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.protocol import Answer, DeltaMachine, Response, SotwMachine
from xds_server.runtime.kind import Kind
from xds_server.snapshot import Snapshot

if TYPE_CHECKING:
    from xds_server.runtime.view import View


@dataclass(frozen=True)
class Sent:
    """One response: contents by name, and names that are gone. Version and nonce are not compared."""

    type: TypeUrl
    resources: dict[str, str]
    removed: tuple[str, ...] = ()
    nonce: str = field(default="", compare=False)
    version: str = field(default="", compare=False)
    versions: dict[str, str] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"{self.type.short}({self.resources}, removed={list(self.removed)})"


def sent(type_url: TypeUrl, *, removed: tuple[str, ...] = (), **resources: str) -> Sent:
    return Sent(type_url, resources, removed)


class Talk:
    """One stream; every method gives the responses that came of it."""

    variant: str
    machine: SotwMachine | DeltaMachine

    def __init__(self) -> None:
        self.latest: dict[TypeUrl, str] = {}
        """The nonce of the newest response of each type."""
        self.answered: dict[TypeUrl, str] = {}
        """The nonce of the newest response of each type that was acknowledged or rejected."""
        self.answer: Answer | None = None
        """What the last request said of earlier responses."""
        self.view: View | None = None
        """What decides on what is served; without one it is what is offered."""
        self.now = 0.0
        """The time, in seconds; a test moves it."""
        self._nonces: set[str] = set()

    @property
    def nack(self) -> Answer | None:
        """What the last request came to, if it was a rejection."""
        return self.answer if self.answer is not None and self.answer.rejected else None

    def offer(self, snapshot: Snapshot) -> list[Sent]:
        self.machine.offer(snapshot)
        return self.outbox()

    def follow(self) -> list[Sent]:
        """Take what the view serves now."""
        assert self.view is not None
        self.view.hand_over(self.machine)
        return self.outbox()

    def outbox(self) -> list[Sent]:
        return [self._decode(response) for response in self.machine.outbox(self.now)]

    def hear(self, request: Any) -> Answer | None:
        """Hand over a request alone; what comes of it shows in the next `outbox`."""
        self.answer = self.machine.receive(type(request).FromString(request.SerializeToString()), self.now)
        return self.answer

    def _receive(self, request: Any) -> list[Sent]:
        answer = self.hear(request)
        if answer is not None and self.view is not None:
            self.view.settle(answer)
            self.view.hand_over(self.machine)
        return self.outbox()

    def _decode(self, response: Response) -> Sent:
        message, resources, versions, removed = self._parse(response)
        assert (response.type, response.nonce) == (message.type_url, message.nonce)
        assert message.nonce
        assert message.nonce not in self._nonces
        assert len({*resources, *removed}) == len(resources) + len(removed)
        self._nonces.add(message.nonce)
        self.latest[response.type] = message.nonce
        return Sent(response.type, resources, removed, message.nonce, response.version, versions)

    def _parse(self, response: Response) -> tuple[Any, dict[str, str], dict[str, str], tuple[str, ...]]:
        raise NotImplementedError


class SotwTalk(Talk):
    """A `StreamAggregatedResources` stream."""

    variant = "sotw"

    def __init__(
        self, snapshot: Snapshot, client: Client = Client.ENVOY, only: TypeUrl | None = None
    ) -> None:
        super().__init__()
        self.machine = SotwMachine(snapshot, "test", client, only)
        self.names: dict[TypeUrl, tuple[str, ...]] = {}

    def ask(
        self, type_url: TypeUrl, *names: str, nonce: str | None = None, version: str = "", error: str = ""
    ) -> list[Sent]:
        """Subscribe to exactly these names, with the newest nonce unless another is given."""
        self.names[type_url] = names
        nonce = self.latest.get(type_url, "") if nonce is None else nonce
        request = DiscoveryRequest(
            type_url=type_url, resource_names=names, response_nonce=nonce, version_info=version
        )
        if error:
            request.error_detail.CopyFrom(Status(code=13, message=error))
        return self._receive(request)

    def ack(self, type_url: TypeUrl) -> list[Sent]:
        self.answered[type_url] = self.latest[type_url]
        return self.ask(type_url, *self.names[type_url])

    def reject(self, type_url: TypeUrl, error: str = "no good") -> list[Sent]:
        self.answered[type_url] = self.latest[type_url]
        return self.ask(type_url, *self.names[type_url], error=error)

    def _parse(self, response: Response) -> tuple[Any, dict[str, str], dict[str, str], tuple[str, ...]]:
        message = DiscoveryResponse.FromString(response.payload)
        assert not message.canary
        assert message.version_info == response.version
        pairs = [content(response.type, one.SerializeToString()) for one in message.resources]
        assert len(dict(pairs)) == len(pairs)
        return message, dict(pairs), {}, ()


class DeltaTalk(Talk):
    """A `DeltaAggregatedResources` stream."""

    variant = "delta"

    def __init__(
        self, snapshot: Snapshot, client: Client = Client.ENVOY, only: TypeUrl | None = None
    ) -> None:
        super().__init__()
        self.machine = DeltaMachine(snapshot, "test", client, only)

    def ask(
        self,
        type_url: TypeUrl,
        *subscribe: str,
        drop: tuple[str, ...] = (),
        has: dict[str, str] | None = None,
        nonce: str = "",
        error: str = "",
    ) -> list[Sent]:
        """Subscribe to and unsubscribe from names; with a nonce it is an ACK as well, or a NACK."""
        request = DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=subscribe,
            resource_names_unsubscribe=drop,
            initial_resource_versions=has or {},
            response_nonce=nonce,
        )
        if error:
            request.error_detail.CopyFrom(Status(code=13, message=error))
        return self._receive(request)

    def ack(self, type_url: TypeUrl, nonce: str = "") -> list[Sent]:
        self.answered[type_url] = nonce or self.latest[type_url]
        return self.ask(type_url, nonce=self.answered[type_url])

    def reject(self, type_url: TypeUrl, error: str = "no good") -> list[Sent]:
        self.answered[type_url] = self.latest[type_url]
        return self.ask(type_url, nonce=self.latest[type_url], error=error)

    def _parse(self, response: Response) -> tuple[Any, dict[str, str], dict[str, str], tuple[str, ...]]:
        message = DeltaDiscoveryResponse.FromString(response.payload)
        pairs = []
        for one in message.resources:
            packed = one.resource.SerializeToString()
            pairs.append(content(response.type, packed))
            assert one.name == pairs[-1][0]
            assert one.version
        assert len(dict(pairs)) == len(pairs)
        versions = {one.name: one.version for one in message.resources}
        return message, dict(pairs), versions, tuple(message.removed_resources)


TALKS: dict[str, type[SotwTalk] | type[DeltaTalk]] = {"sotw": SotwTalk, "delta": DeltaTalk}


def talking(variant: str, kind: Kind, node: str = "edge-1") -> Talk:
    """Begin a stream that is served what its kind lets it have."""
    view: View = kind.view(node)
    assert view.snapshots.value is not None
    talk = TALKS[variant](view.snapshots.value)
    talk.view = view
    return talk
