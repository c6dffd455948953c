"""The aggregated discovery service, both variants: one protocol machine a stream, pumped by one task."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.protobuf.message import DecodeError

from xds_server import telemetry
from xds_server.model.proxy import Proxy
from xds_server.model.types import TypeUrl
from xds_server.protocol import DeltaMachine, Nack, ProtocolError, SotwMachine
from xds_server.runtime.latest import Latest
from xds_server.runtime.pipeline import Pipeline, TooManyGroupsError
from xds_server.snapshot import Snapshot
from xds_server.telemetry import Event, log
from xds_server.transport.node import NodeError, proxy_of

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class _End:
    """What stops a stream: the client is done, or this server is."""


_CLIENT_DONE: Final = _End()
_SERVER_STOPS: Final = _End()

_TYPE_NAMES: Final = {str(type_url): type_url.short for type_url in TypeUrl}

Item: TypeAlias = bytes | Snapshot | _End


class _RefusedError(Exception):
    """The stream ends with a status and one sentence for the client."""

    def __init__(self, status: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class _GoneError(Exception):
    """The client broke the connection while a response was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the two ways to speak xDS over a stream."""

    name: str
    method: str
    request: Any
    machine: type[SotwMachine | DeltaMachine]


VARIANTS: Final = (
    Variant(name="sotw", method="StreamAggregatedResources", request=DiscoveryRequest, machine=SotwMachine),
    Variant(
        name="delta", method="DeltaAggregatedResources", request=DeltaDiscoveryRequest, machine=DeltaMachine
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Seconds a stream may wait: for the first snapshot before it is refused, for one write to be taken."""

    first_snapshot: float = 5.0
    write: float = 20.0


class AdsService:
    """Serves aggregated streams from the pipeline's snapshots."""

    def __init__(self, pipeline: Pipeline, identifier: str, limits: StreamLimits) -> None:
        self._pipeline = pipeline
        self._identifier = identifier
        self._limits = limits
        self._stopping = asyncio.Event()

    def handler(self) -> Any:
        """Give the gRPC handler; messages pass as bytes, as responses are encoded once for all streams."""
        methods = {
            variant.method: grpc.stream_stream_rpc_method_handler(self._method(variant))
            for variant in VARIANTS
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def stop(self) -> None:
        """End every stream with UNAVAILABLE, so that its client goes to another server (P-012)."""
        self._stopping.set()

    def _method(self, variant: Variant) -> Any:
        async def serve(requests: AsyncIterator[bytes], context: Any) -> None:
            # A stuck first response would take the metadata with it, and then no status could be sent either.
            await context.send_initial_metadata(())
            refusal = await self._counted(variant, requests, context)
            if refusal is not None:
                if not self._stopping.is_set():
                    log(Event.STREAM_REFUSED, logging.WARNING, peer=context.peer(), reason=refusal)
                # To a client that does not read this lasts until it reads, or is gone.
                with contextlib.suppress(grpc.aio.InternalError):
                    await context.abort(refusal.status, str(refusal))

        return serve

    async def _counted(
        self, variant: Variant, requests: AsyncIterator[bytes], context: Any
    ) -> _RefusedError | None:
        """Serve one stream; give why it is refused, if it is."""
        telemetry.STREAMS.labels(variant.name).inc()
        try:
            await self._serve(variant, requests, context)
        except _GoneError:
            pass
        except _RefusedError as refusal:
            return refusal
        finally:
            telemetry.STREAMS.labels(variant.name).dec()
        return None

    async def _serve(self, variant: Variant, requests: AsyncIterator[bytes], context: Any) -> None:
        first = await anext(aiter(requests), None)
        if first is None:
            return
        request = _parse(variant, first)
        try:
            proxy = proxy_of(request.node)
        except NodeError as error:
            raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        about = {"node": proxy.id, "variant": variant.name, "peer": context.peer()}
        log(Event.STREAM_OPENED, cluster=proxy.cluster, **about)
        try:
            with self._pipeline.join(proxy.group) as snapshots:
                machine = variant.machine(await self._first(snapshots), self._identifier)
                stream = _Stream(variant, proxy, machine, context, self._limits)
                await stream.take(first)
                await self._pump(stream, requests, snapshots)
        except TooManyGroupsError:
            sentence = "too many kinds of proxies are connected to this server"
            raise _RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence) from None
        finally:
            log(Event.STREAM_CLOSED, **about)

    async def _first(self, snapshots: Latest[Snapshot]) -> Snapshot:
        """Wait a little for the first sync; an empty answer would delete what the proxy has (P-013)."""
        try:
            async with asyncio.timeout(self._limits.first_snapshot):
                return await snapshots.get()
        except TimeoutError:
            sentence = "the catalog was not read yet; try again, or another server"
            raise _RefusedError(grpc.StatusCode.UNAVAILABLE, sentence) from None

    async def _pump(
        self, stream: "_Stream", requests: AsyncIterator[bytes], snapshots: Latest[Snapshot]
    ) -> None:
        """Feed requests and snapshots to the stream until either side is done.

        Only the queue ends the loop: cancellation is no signal here (grpc#29248 leaves the client hanging).
        """
        inbox: asyncio.Queue[Item] = asyncio.Queue(maxsize=8)
        try:
            async with asyncio.TaskGroup() as tasks:
                pumps = [
                    tasks.create_task(_forward(requests, inbox, last=_CLIENT_DONE)),
                    tasks.create_task(_forward(snapshots.values(), inbox, last=_CLIENT_DONE)),
                    tasks.create_task(_announce(self._stopping, inbox)),
                ]
                while not isinstance(item := await inbox.get(), _End):
                    await stream.take(item)
                for pump in pumps:
                    pump.cancel()
        except* (_RefusedError, _GoneError) as group:
            raise group.exceptions[0] from None
        if item is _SERVER_STOPS:
            raise _RefusedError(grpc.StatusCode.UNAVAILABLE, "this server is shutting down")


async def _forward(items: AsyncIterator[Item], inbox: asyncio.Queue[Item], *, last: _End) -> None:
    async for item in items:
        await inbox.put(item)
    await inbox.put(last)


async def _announce(stopping: asyncio.Event, inbox: asyncio.Queue[Item]) -> None:
    await stopping.wait()
    await inbox.put(_SERVER_STOPS)


class _Stream:
    """One open stream: decodes what comes in, writes what the machine gives out, counts both."""

    def __init__(
        self,
        variant: Variant,
        proxy: Proxy,
        machine: SotwMachine | DeltaMachine,
        context: Any,
        limits: StreamLimits,
    ) -> None:
        self._variant = variant
        self._proxy = proxy
        self._machine = machine
        self._context = context
        self._limits = limits

    async def take(self, item: bytes | Snapshot) -> None:
        """Hand a request or a snapshot to the machine and write its responses.

        Raises _RefusedError where the client breaks the protocol or does not read.
        """
        if isinstance(item, Snapshot):
            self._machine.offer(item)
        else:
            self._receive(_parse(self._variant, item))
        for response in self._machine.outbox():
            await self._write(response.payload)
            labels = (self._variant.name, response.type.short)
            telemetry.RESPONSES.labels(*labels).inc()
            telemetry.RESPONSE_BYTES.labels(*labels).inc(len(response.payload))

    def _receive(self, request: Any) -> None:
        try:
            nack = self._machine.receive(request)
        except ProtocolError as error:
            raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        telemetry.REQUESTS.labels(self._variant.name, _TYPE_NAMES.get(request.type_url, "other")).inc()
        if nack is not None:
            self._log_nack(nack)

    async def _write(self, payload: bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.write):
                await self._context.write(payload)
        except grpc.aio.InternalError:
            raise _GoneError from None
        except TimeoutError:
            sentence = f"the client took no response for {self._limits.write:g} s"
            raise _RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence) from None

    def _log_nack(self, nack: Nack) -> None:
        telemetry.NACKS.labels(nack.type.short).inc()
        log(
            Event.XDS_NACK,
            logging.ERROR,
            node=self._proxy.id,
            type=nack.type.short,
            version=nack.version,
            resources=", ".join(nack.names[:10]),
            error=nack.error,
        )


def _parse(variant: Variant, payload: bytes) -> Any:
    try:
        return variant.request.FromString(payload)
    except DecodeError:
        sentence = f"the message is not a {variant.request.DESCRIPTOR.name}"
        raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, sentence) from None
