"""One open stream: decodes what comes in, writes what its machine gives out, and counts both.

What comes in is dealt with in the task of the stream. What is new to send is looked at in a plain call
(`FanOut`), and only a stream that has something to send gets a task, for as long as it writes. So an idle
stream is one task that waits in gRPC's read, and a push wakes nobody twice.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from envoy.config.core.v3.base_pb2 import Node

from xds_server import telemetry
from xds_server.protocol import Answer, DeltaMachine, ProtocolError, Response
from xds_server.protocol.limits import check_node
from xds_server.runtime.fleet import Session
from xds_server.runtime.view import View
from xds_server.telemetry import Event, log
from xds_server.transport.counting import count_response, counted
from xds_server.transport.ending import BUG, CLIENT_DONE, End
from xds_server.transport.fanout import FanOut
from xds_server.transport.flow import Flow, FlowLimits
from xds_server.transport.patience import Patience
from xds_server.transport.variant import RequestStream, Variant, refusal_of

_TOLD: Final = FlowLimits(burst=20, rate=0.5)
"""How many rejections of one stream the log tells of at once, and a second from then on; all are counted."""


class GoneError(Exception):
    """The client broke the connection while a response was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the streams of a server have in common.

    `heard` is called after each request that was taken; a response that the client does not take within
    `patience` ends its stream.
    """

    heard: Callable[[Session], None]
    fan_out: FanOut
    patience: Patience


class Conversation:
    """Moves one stream on, request by request, until it is closed.

    gRPC takes one write at a time. So while one is under way (`_writes`), what comes due is only noted, and
    whoever writes looks for it afterwards.
    """

    __slots__ = (
        "_beat",
        "_due",
        "_machine",
        "_pulse",
        "_push",
        "_rejections",
        "_reminder",
        "_session",
        "_shared",
        "_stream",
        "_variant",
        "_view",
        "_writes",
    )

    def __init__(
        self, variant: Variant, session: Session, view: View, stream: RequestStream, shared: Shared
    ) -> None:
        self._variant = variant
        self._session = session
        self._machine = session.machine
        self._view = view
        self._stream = stream
        self._shared = shared
        self._due = self._beat = self._writes = False
        self._push: asyncio.Task[None] | None = None
        self._pulse: asyncio.TimerHandle | None = None
        self._reminder: asyncio.TimerHandle | None = None
        self._rejections: Flow | None = None

    async def run(self) -> End:
        """Take what comes until it is an end; give that.

        Raises RefusedError where the client breaks the protocol, and GoneError.
        """
        self._view.changed = self._came_due
        try:
            while (end := await self._next()) is None:
                pass
        finally:
            self._view.changed = None
            self._stop_timers()
            if self._push is not None:
                self._push.cancel()
        return end

    async def _next(self) -> End | None:
        """Wait for one request and deal with it; nothing of it is kept while the next one is waited for."""
        read = await self._stream.read()
        if isinstance(read, End):
            return read
        if self._push is not None:
            await asyncio.wait((self._push,))
        at = time.time()
        self._receive(*read, at)
        if responses := self._machine.outbox(at):
            await self._write_all(responses)
        self._set_timers(responses, at)
        return None

    # --- what comes in -----------------------------------------------------------------------------------

    def _receive(self, node: Node | None, request: Any, at: float) -> None:
        counted(self._variant.name, request.type_url).requests.inc()
        try:
            if node is not None:
                check_node(node.id, self._session.proxy.id)
            answer = self._machine.receive(request, at)
        except ProtocolError as error:
            raise refusal_of(error) from None
        self._shared.heard(self._session)
        if answer is not None:
            self._settle(answer)

    def _settle(self, answer: Answer) -> None:
        """Let the view know; what it serves from now on counts before anything else is sent."""
        if answer.rejected:
            self._log_rejection(answer)
        self._view.settle(answer)
        self._view.hand_over(self._machine)
        self._due = self._beat

    # --- what goes out -----------------------------------------------------------------------------------

    def _came_due(self) -> None:
        """Take note that there may be something to send, and soon look what it is."""
        if not self._due:
            self._due = True
            self._shared.fan_out.add(self._look)

    def _look(self) -> None:
        if self._writes or self._push is not None or not self._due or self._view.changed is None:
            # Whoever writes looks afterwards; and what was due may have gone out with an answer.
            return
        try:
            responses = self._what_is_due()
        except Exception:  # noqa: BLE001 - whatever it is, the other streams go on
            self._fail()
            return
        if responses:
            self._push = asyncio.get_running_loop().create_task(self._push_all(responses))

    def _what_is_due(self) -> Sequence[Response]:
        """Give what there is to send besides the answers to requests."""
        at = time.time()
        beats: list[Response] = []
        self._due = False
        if self._beat:
            self._stop_timers()
            if isinstance(self._machine, DeltaMachine):
                beats = self._machine.heartbeats(at)
        self._view.hand_over(self._machine)
        responses = [*beats, *self._machine.outbox(at)]
        self._set_timers(responses, at)
        return responses

    async def _push_all(self, responses: Sequence[Response]) -> None:
        try:
            await self._write_all(responses)
        except GoneError:
            self._stream.end(CLIENT_DONE)
        except Exception:  # noqa: BLE001 - whatever it is, the other streams go on
            self._fail()
        finally:
            self._push = None

    async def _write_all(self, responses: Sequence[Response]) -> None:
        """Write these, and then what came due meanwhile. Raises GoneError."""
        stream, patience = self._stream, self._shared.patience
        self._writes = True
        try:
            while responses:
                for response in responses:
                    count_response(self._variant.name, self._session, response)
                    patience.begin(stream)
                    await stream.context.write(response.payload)
                responses = self._what_is_due() if self._due else ()
        except grpc.aio.InternalError:
            raise GoneError from None
        finally:
            patience.done(stream)
            self._writes = False

    # --- what is due later -------------------------------------------------------------------------------

    def _set_timers(self, sent: Sequence[Response], at: float) -> None:
        """Renew what was sent and expires (P-100); go on where an answer never comes (P-093)."""
        machine = self._machine
        if sent and self._pulse is None and isinstance(machine, DeltaMachine) and self._may_expire(sent):
            interval = machine.heartbeat_interval
            if interval is not None:
                self._pulse = asyncio.get_running_loop().call_later(interval, self._beats)
        if self._reminder is None and (seconds := machine.held_back(at)) is not None:
            self._reminder = asyncio.get_running_loop().call_later(seconds, self._beats)

    def _may_expire(self, sent: Sequence[Response]) -> bool:
        for response in sent:  # noqa: SIM110 - a generator costs more than what it looks at
            if self._machine.expires(response.type):
                return True
        return False

    def _beats(self) -> None:
        self._beat = True
        self._came_due()

    def _stop_timers(self) -> None:
        for timer in (self._pulse, self._reminder):
            if timer is not None:
                timer.cancel()
        self._pulse = self._reminder = None
        self._beat = False

    # --- what is told of it ------------------------------------------------------------------------------

    def _fail(self) -> None:
        """End the stream, on which a bug showed that is not in the way of its requests."""
        log(Event.STREAM_FAILED, logging.ERROR, peer=self._session.peer, exc_info=True)
        self._stream.end(BUG)

    def _log_rejection(self, answer: Answer) -> None:
        telemetry.NACKS.labels(answer.type.short).inc()
        now = time.monotonic()
        self._rejections = self._rejections or Flow(_TOLD, now)
        if self._rejections.take(now):
            # Who rejects without end fills no log.
            return
        log(
            Event.XDS_NACK,
            logging.ERROR,
            node=self._session.proxy.id,
            type=answer.type.short,
            version=answer.version,
            resources=", ".join(sorted(answer.resources)[:10]),
            error=answer.error,
        )
