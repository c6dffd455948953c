"""The discovery services, aggregated and per type: the life of a stream from the first byte to its status."""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any, Final

import grpc

from xds_server import telemetry
from xds_server.model.types import TypeUrl
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.pipeline import Pipeline
from xds_server.telemetry import Event, log
from xds_server.transport.admission import Admission, CrowdedError, Origin, address_of
from xds_server.transport.conversation import GoneError
from xds_server.transport.ending import BUG, CLIENT_DONE, End, RefusedError
from xds_server.transport.identity import Identity, identity_of
from xds_server.transport.reception import Call, Reception, StreamLimits
from xds_server.transport.services import SERVICES, Service
from xds_server.transport.stream import Stream
from xds_server.transport.variant import DELTA, SOTW, RequestStream, Variant

_DRAIN_STEP: Final = 0.01
"""Seconds between two streams that are sent away: no more than so many clients reconnect at a time."""

_STOPPING: Final = End(status=grpc.StatusCode.UNAVAILABLE, sentence="this server is shutting down")


class DiscoveryService:
    """Serves streams of every discovery service from the pipeline's snapshots."""

    def __init__(self, pipeline: Pipeline, fleet: Fleet, identifier: str, limits: StreamLimits) -> None:
        self._limits = limits
        self._admission = Admission(caps=limits.caps, rate=limits.rate)
        self._reception = Reception(pipeline, fleet, self._admission, identifier, limits)
        self._streams: set[RequestStream] = set()
        self._stopping = False

    @property
    def slots(self) -> int:
        """How many streams hold one of the slots there are."""
        return self._admission.open

    def handlers(self) -> tuple[Any, ...]:
        """Give gRPC's handlers; messages pass as bytes, as responses are encoded once for all streams."""
        return tuple(self._handler(service) for service in SERVICES)

    def _handler(self, service: Service) -> Any:
        variants = {service.sotw: SOTW, service.delta: DELTA}
        methods = {
            method: grpc.stream_stream_rpc_method_handler(self._method(variant, service.type))
            for method, variant in variants.items()
            if method
        }
        return grpc.method_handlers_generic_handler(service.name, methods)

    async def drain(self, seconds: float) -> None:
        """Refuse new streams from now on, and end the open ones with UNAVAILABLE (P-012).

        Their ends are spread evenly, 10 ms apart and over `seconds` at most, so that the servers that their
        clients go to are not met by all of them at once.
        """
        self._stopping = True
        streams = tuple(self._streams)
        pause = min(_DRAIN_STEP, seconds / max(1, len(streams)))
        started = time.monotonic()
        for position, stream in enumerate(streams):
            early = started + position * pause - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            stream.end(_STOPPING)

    def _method(self, variant: Variant, only: TypeUrl | None) -> Any:
        async def serve(_requests: Any, context: Any) -> None:
            call = Call(variant=variant, only=only, context=context)
            try:
                call = replace(call, identity=identity_of(context.auth_context()))
                # A stuck first response would take the metadata with it, and then no status could be sent.
                await context.send_initial_metadata(())
                with self._admission.slot(_origin(context.peer(), call.identity)):
                    # Its memory is held until the client has the status, and so is the slot.
                    await self._finish(call, await self._counted(call))
            except CrowdedError as error:
                await self._finish(call, End(status=grpc.StatusCode.RESOURCE_EXHAUSTED, sentence=str(error)))
            except RefusedError as error:
                await self._finish(call, error.end)
            except grpc.aio.InternalError:
                # The client is gone.
                return

        return serve

    async def _finish(self, call: Call, end: End) -> None:
        """Send the status.

        To a client that does not read this lasts until it reads, is gone, or its connection reaches its age:
        grpc.aio cannot reset a stream.
        """
        if end.status is grpc.StatusCode.OK:
            return
        if end is not _STOPPING:
            telemetry.STREAMS_REFUSED.labels(end.status.name).inc()
            log(Event.STREAM_REFUSED, logging.WARNING, peer=call.context.peer(), reason=end.sentence)
        await call.context.abort(end.status, end.sentence)

    async def _counted(self, call: Call) -> End:
        """Serve one stream; give how it ends. A bug ends this stream only."""
        telemetry.STREAMS.labels(call.variant.name).inc()
        try:
            return await self._serve(call)
        except Exception:  # noqa: BLE001 - whatever it is, the other streams go on
            log(Event.STREAM_FAILED, logging.ERROR, peer=call.context.peer(), exc_info=True)
            return BUG
        finally:
            telemetry.STREAMS.labels(call.variant.name).dec()

    async def _serve(self, call: Call) -> End:
        """Converse until either side is done; give how it ends."""
        stream: RequestStream = Stream(call.context, self._limits.flow, call.variant.decode)
        if self._stopping:
            stream.end(_STOPPING)
        self._streams.add(stream)
        try:
            return await self._reception.receive(call, stream)
        except RefusedError as refusal:
            return refusal.end
        except GoneError:
            return CLIENT_DONE
        except asyncio.CancelledError:
            # By itself it would be no status for the client, which would hang (grpc#29248).
            if (end := stream.interrupted()) is None:
                raise
            return end
        finally:
            self._streams.discard(stream)


def _origin(peer: str, identity: Identity | None) -> Origin:
    return Origin(address=address_of(peer), identity=identity.names if identity else frozenset())
