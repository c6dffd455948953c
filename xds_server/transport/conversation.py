"""One open stream: decodes what comes in, writes what its machine gives out, and counts both."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.protobuf.message import DecodeError

from xds_server import telemetry
from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.protocol import Answer, DeltaMachine, ProtocolError, Response, SotwMachine
from xds_server.protocol.limits import check_request
from xds_server.protocol.messages import ForeignNodeError, TooMuchError
from xds_server.protocol.payload import check_payload
from xds_server.runtime.fleet import Session
from xds_server.runtime.view import View
from xds_server.snapshot import Snapshot
from xds_server.telemetry import Event, log
from xds_server.transport.ending import End, RefusedError, refused
from xds_server.transport.flow import Flow, FlowLimits
from xds_server.transport.inbox import Heartbeat, Inbox

_GRPC_RECEIVES: Final = 4 * 1024 * 1024
"""A gRPC client refuses larger messages unless it was told otherwise (P-111)."""

_TYPE_NAMES: Final = {str(type_url): type_url.short for type_url in TypeUrl}


_TOLD: Final = FlowLimits(burst=20, rate=0.5)
"""How many rejections of one stream the log tells of at once, and a second from then on; all are counted."""

_STATUSES: Final = {
    TooMuchError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ForeignNodeError: grpc.StatusCode.PERMISSION_DENIED,
}
"""How a stream ends whose client breaks the protocol, where it is not INVALID_ARGUMENT."""


def _refusal(error: ProtocolError) -> RefusedError:
    return refused(_STATUSES.get(type(error), grpc.StatusCode.INVALID_ARGUMENT), str(error))


class GoneError(Exception):
    """The client broke the connection while a response was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the two ways to speak xDS over a stream: its name, its requests, and who speaks it."""

    name: str
    request: Any
    machine: type[SotwMachine | DeltaMachine]


SOTW: Final = Variant(name="sotw", request=DiscoveryRequest, machine=SotwMachine)
DELTA: Final = Variant(name="delta", request=DeltaDiscoveryRequest, machine=DeltaMachine)


def decode(variant: Variant, payload: bytes) -> Any:
    """Give the request that bytes hold. Raises RefusedError where they hold none, or too large a one."""
    try:
        check_payload(payload, variant.request)
        return variant.request.FromString(payload)
    except DecodeError:
        sentence = f"the message is not a {variant.request.DESCRIPTOR.name}"
        raise refused(grpc.StatusCode.INVALID_ARGUMENT, sentence) from None
    except ProtocolError as error:
        raise _refusal(error) from None


class Conversation:
    """Moves one stream on, item by item, until it is closed.

    `context` is gRPC's; a response that the client does not take within `patience` seconds ends the stream.
    `heard` is called after each request that was taken.
    """

    def __init__(
        self,
        variant: Variant,
        session: Session,
        view: View,
        context: Any,
        *,
        heard: Callable[[Session], None],
        patience: float,
    ) -> None:
        self._variant = variant
        self._session = session
        self._machine = session.machine
        self._view = view
        self._context = context
        self._heard = heard
        self._patience = patience
        self._pulse: asyncio.TimerHandle | None = None
        self._reminder: asyncio.TimerHandle | None = None
        self._rejections = Flow(_TOLD, time.monotonic())

    async def run(self, inbox: Inbox) -> End:
        """Take what comes into `inbox`, until it is an end; give that.

        Raises RefusedError where the client breaks the protocol or does not read, and GoneError.
        """
        try:
            while (end := await self._next(inbox)) is None:
                self._beat_later(inbox)
                self._remind_later(inbox)
        finally:
            self._stop_timers()
        return end

    async def _next(self, inbox: Inbox) -> End | None:
        """Wait for one thing and deal with it; nothing of it is kept while the next one is waited for."""
        item = await inbox.get()
        if isinstance(item, End):
            return item
        await self._take(item)
        return None

    async def _take(self, item: bytes | Snapshot | Heartbeat) -> None:
        at = time.time()
        match item:
            case Heartbeat():
                self._stop_timers()
                if isinstance(self._machine, DeltaMachine):
                    await self._send(self._machine.heartbeats(at))
            case Snapshot():
                self._view.hand_over(self._machine)
            case bytes():
                self._receive(decode(self._variant, item), at)
        await self._send(self._machine.outbox(at))

    def _beat_later(self, inbox: Inbox) -> None:
        """Keep resources with a time to live alive, as long as the client has any (P-100)."""
        if self._pulse is not None or not isinstance(self._machine, DeltaMachine):
            return
        interval = self._machine.heartbeat_interval
        if interval is not None:
            self._pulse = asyncio.get_running_loop().call_later(interval, inbox.beat)

    def _remind_later(self, inbox: Inbox) -> None:
        """Go on where what is to be sent waits for an answer that may never come (P-093)."""
        if self._reminder is None and (seconds := self._machine.held_back(time.time())) is not None:
            self._reminder = asyncio.get_running_loop().call_later(seconds, inbox.beat)

    def _stop_timers(self) -> None:
        for timer in (self._pulse, self._reminder):
            if timer is not None:
                timer.cancel()
        self._pulse = self._reminder = None

    def _receive(self, request: Any, at: float) -> None:
        telemetry.REQUESTS.labels(self._variant.name, _TYPE_NAMES.get(request.type_url, "other")).inc()
        try:
            check_request(request, self._session.proxy.id)
            answer = self._machine.receive(request, at)
        except ProtocolError as error:
            raise _refusal(error) from None
        self._heard(self._session)
        if answer is not None:
            self._settle(answer)

    def _settle(self, answer: Answer) -> None:
        """Let the view know; what it serves from now on counts before anything else is sent."""
        if answer.rejected:
            self._log_rejection(answer)
        self._view.settle(answer)
        self._view.hand_over(self._machine)

    async def _send(self, responses: Iterable[Response]) -> None:
        for response in responses:
            size = len(response.payload)
            if size > _GRPC_RECEIVES and self._session.proxy.group.client is Client.GRPC:
                self._warn_of_size(response, size)
            await self._write(response.payload)
            labels = (self._variant.name, _TYPE_NAMES.get(response.type, "other"))
            telemetry.RESPONSES.labels(*labels).inc()
            telemetry.RESPONSE_BYTES.labels(*labels).inc(size)

    async def _write(self, payload: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._context.write(payload)
        except grpc.aio.InternalError:
            raise GoneError from None
        except TimeoutError:
            sentence = f"the client took no response for {self._patience:g} s"
            raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence) from None

    def _warn_of_size(self, response: Response, size: int) -> None:
        telemetry.LARGE_RESPONSES.inc()
        log(
            Event.RESPONSE_LARGE,
            logging.WARNING,
            node=self._session.proxy.id,
            type=_TYPE_NAMES.get(response.type, "other"),
            bytes=size,
        )

    def _log_rejection(self, answer: Answer) -> None:
        telemetry.NACKS.labels(answer.type.short).inc()
        if self._rejections.take(time.monotonic()):
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
