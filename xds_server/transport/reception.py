"""How a client is received: it says who it is, is checked, waits for its turn, and then is conversed with."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import Node

from xds_server.model.proxy import Proxy
from xds_server.model.types import TypeUrl
from xds_server.protocol.node import NodeError, proxy_of
from xds_server.runtime.fleet import Fleet, Session, known_node
from xds_server.runtime.kind import Kind
from xds_server.runtime.pipeline import Pipeline, TooManyKindsError
from xds_server.runtime.view import View
from xds_server.snapshot import EMPTY
from xds_server.telemetry import Event, log
from xds_server.transport.admission import Admission, Caps, CrowdedError
from xds_server.transport.conversation import Conversation, Shared
from xds_server.transport.ending import End, RefusedError, refused
from xds_server.transport.fanout import FanOut
from xds_server.transport.flow import FlowLimits
from xds_server.transport.identity import Identity, mismatch
from xds_server.transport.patience import Patience
from xds_server.transport.unanswered import AnswerLimits, Answers
from xds_server.transport.variant import DELTA, RequestStream, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What a stream may cost.

    Seconds it may wait: for its first request, for the first snapshot before it is refused, for one write to
    be taken. Streams that may be open at once (P-112), and be opened in a second (P-115). How fast it may ask
    (P-122), and how long it may take to answer (P-123). Whether node.id has to be a name of the client's
    certificate (P-116).
    """

    first_request: float = 5.0
    first_snapshot: float = 5.0
    write: float = 20.0
    caps: Caps = field(default_factory=Caps)
    rate: float = 500.0
    flow: FlowLimits = field(default_factory=FlowLimits)
    answers: AnswerLimits = field(default_factory=AnswerLimits)
    match_node_id: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a method: how it speaks, of which type it is (None: of any), and gRPC's context.

    `identity` is what the client's certificate says, if it has shown one.
    """

    variant: Variant
    only: TypeUrl | None
    context: Any
    identity: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """Who calls: by the node of its first request, and by its certificate, if it has shown one."""

    proxy: Proxy
    node: bytes
    identity: Identity | None


class Reception:
    """Receives clients on behalf of the services."""

    def __init__(
        self, pipeline: Pipeline, fleet: Fleet, admission: Admission, identifier: str, limits: StreamLimits
    ) -> None:
        self._pipeline = pipeline
        self._fleet = fleet
        self._admission = admission
        self._identifier = identifier
        self._limits = limits
        self._answers = Answers(limits.answers)
        self._shared = Shared(heard=fleet.heard, fan_out=FanOut(), patience=Patience(limits.write))

    async def receive(self, call: Call, stream: RequestStream) -> End:
        """Serve a stream; give how it ends.

        Raises RefusedError where the client is not to be served, and GoneError where it has left.
        """
        caller = self._caller(call, await self._first_node(stream))
        await self._turn()
        about = {"node": caller.proxy.id, "variant": call.variant.name, "peer": call.context.peer()}
        log(Event.STREAM_OPENED, cluster=caller.proxy.cluster, **about)
        try:
            with self._joined(caller.proxy) as kind, _until_expiry(caller.identity, stream):
                await self._newest(caller.proxy)
                with closing(kind.view(caller.proxy.id)) as view:
                    return await self._converse(call, self._session(call, caller, view), view, stream)
        finally:
            log(Event.STREAM_CLOSED, **about)

    async def _first_node(self, stream: RequestStream) -> Node:
        """Wait for the node of the first request: a stream that says nothing holds no slot for ever."""
        try:
            async with asyncio.timeout(self._limits.first_request):
                first = await stream.first()
        except TimeoutError:
            sentence = f"no request came for {self._limits.first_request:g} s"
            raise refused(grpc.StatusCode.DEADLINE_EXCEEDED, sentence) from None
        if isinstance(first, End):
            raise RefusedError(first)
        return first[0] or Node()

    def _caller(self, call: Call, node: Node) -> _Caller:
        try:
            proxy = proxy_of(node, delta=call.variant is DELTA)
        except NodeError as error:
            raise refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        identity = call.identity
        if identity is not None and identity.expires <= time.time():
            raise RefusedError(_expired(identity))
        if self._limits.match_node_id and (sentence := mismatch(identity, proxy.id)):
            raise refused(grpc.StatusCode.PERMISSION_DENIED, sentence)
        return _Caller(proxy=proxy, node=known_node(node), identity=identity)

    async def _turn(self) -> None:
        try:
            await self._admission.turn()
        except CrowdedError as error:
            raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None

    @contextmanager
    def _joined(self, proxy: Proxy) -> Iterator[Kind]:
        try:
            with self._pipeline.join(proxy) as kind:
                yield kind
        except TooManyKindsError:
            sentence = "too many kinds of clients are connected to this server"
            raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence) from None

    async def _newest(self, proxy: Proxy) -> None:
        """Wait a little for the first sync; an empty answer would delete what the proxy has (P-013)."""
        try:
            async with asyncio.timeout(self._limits.first_snapshot):
                await self._pipeline.newest(proxy)
        except TimeoutError:
            sentence = "the catalog was not read yet; try again, or another server"
            raise refused(grpc.StatusCode.UNAVAILABLE, sentence) from None

    def _session(self, call: Call, caller: _Caller, view: View) -> Session:
        snapshot = view.snapshots.value or EMPTY
        return Session(
            proxy=caller.proxy,
            variant=call.variant.name,
            peer=call.context.peer(),
            since=time.time(),
            machine=call.variant.machine(snapshot, self._identifier, caller.proxy.group.client, call.only),
            node=caller.node,
        )

    async def _converse(self, call: Call, session: Session, view: View, stream: RequestStream) -> End:
        """Serve a stream whose client is known until it ends."""
        self._fleet.enter(session)
        try:
            with self._answers.awaited(session.machine, stream):
                return await Conversation(call.variant, session, view, stream, self._shared).run()
        finally:
            self._fleet.leave(session)


@contextmanager
def _until_expiry(identity: Identity | None, stream: RequestStream) -> Iterator[None]:
    """End the stream when the client's certificate expires; gRPC looks at it once, at the start (P-116)."""
    if identity is None:
        yield
        return
    timer = asyncio.get_running_loop().call_later(
        identity.expires - time.time(), stream.end, _expired(identity)
    )
    try:
        yield
    finally:
        timer.cancel()


def _expired(identity: Identity) -> End:
    sentence = f"the client's certificate expired on {identity.expiry}; connect again with a new one"
    return End(status=grpc.StatusCode.UNAUTHENTICATED, sentence=sentence)
