"""A discovery server without any of our care: it sends what it is told to, also what takes everything away.

async with BareServer(delta=True) as server:
    server.tell({"a", "b"})
    ...
    server.tell(set())
    assert "below configured minimum" in server.errors[-1]
"""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)
from google.protobuf.any_pb2 import Any as Packed

from xds_server.model.types import TypeUrl

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class BareServer:
    """Serves clusters without endpoints, by their names, and nothing else; one client at a time."""

    def __init__(self, *, delta: bool) -> None:
        self.delta = delta
        self.port = 0
        self.errors: list[str] = []
        """What the client rejected, in its words."""
        self.accepted = 0
        """How many responses with clusters the client has acknowledged."""
        self._clusters: set[str] = set()
        self._told = asyncio.Event()
        self._server = grpc.aio.server()

    async def __aenter__(self) -> Self:
        request = DeltaDiscoveryRequest if self.delta else DiscoveryRequest
        method = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        name = "DeltaAggregatedResources" if self.delta else "StreamAggregatedResources"
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {name: method}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(0)

    def tell(self, clusters: set[str]) -> None:
        """Send these clusters and no others from now on."""
        self._clusters = clusters
        self._told.set()

    async def _serve(self, requests: AsyncIterator[Any], context: Any) -> None:
        asked, listeners = asyncio.Event(), asyncio.Event()
        reading = asyncio.create_task(self._read(requests, asked, listeners))
        sent: set[str] = set()
        number = 0
        try:
            await asked.wait()
            while True:
                await self._told.wait()
                self._told.clear()
                number += 1
                await context.write(self._response(number, sent))
                sent = set(self._clusters)
                if number == 1:
                    # Without any an Envoy never becomes ready.
                    await listeners.wait()
                    await context.write(self._nothing(TypeUrl.LISTENER))
        finally:
            reading.cancel()

    async def _read(self, requests: AsyncIterator[Any], *asked: asyncio.Event) -> None:
        async for request in requests:
            clusters = request.type_url == TypeUrl.CLUSTER
            if request.type_url == TypeUrl.LISTENER:
                asked[1].set()
            if clusters:
                asked[0].set()
            if request.HasField("error_detail"):
                self.errors.append(request.error_detail.message)
            elif clusters and request.response_nonce:
                self.accepted += 1

    def _response(self, number: int, sent: set[str]) -> Any:
        packed = {name: _cluster(name) for name in sorted(self._clusters)}
        if not self.delta:
            return DiscoveryResponse(
                type_url=TypeUrl.CLUSTER,
                version_info=str(number),
                nonce=str(number),
                resources=list(packed.values()),
            )
        fresh = [
            Resource(name=name, version=str(number), resource=one)
            for name, one in packed.items()
            if name not in sent
        ]
        return DeltaDiscoveryResponse(
            type_url=TypeUrl.CLUSTER,
            nonce=str(number),
            resources=fresh,
            removed_resources=sorted(sent - self._clusters),
        )

    def _nothing(self, type_url: TypeUrl) -> Any:
        form = DeltaDiscoveryResponse if self.delta else DiscoveryResponse
        return form(type_url=type_url, nonce="nothing")


def _cluster(name: str) -> Packed:
    packed = Packed()
    packed.Pack(Cluster(name=name, type=Cluster.STATIC))
    return packed
