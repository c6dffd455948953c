"""A bare xDS stream: whatever bytes a test likes go out, and what comes back is decoded.

async with XdsStream(server.address, "delta") as stream:
    await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="edge-1"))
    response = await stream.receive()
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

_SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
_VARIANTS = {
    "delta": ("DeltaAggregatedResources", DeltaDiscoveryRequest, DeltaDiscoveryResponse),
    "sotw": ("StreamAggregatedResources", DiscoveryRequest, DiscoveryResponse),
}


class XdsStream:
    """One stream of a variant (`delta` or `sotw`) to `address`."""

    def __init__(
        self, address: tuple[str, int], mode: str, *, credentials: Any = None, options: Any = ()
    ) -> None:
        self._method, self._request, self._response = _VARIANTS[mode]
        self._target = f"{address[0]}:{address[1]}"
        self._credentials = credentials
        self._options = options
        self._channel: Any = None
        self._call: Any = None

    async def __aenter__(self) -> Self:
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self._target, self._options)
        else:
            self._channel = grpc.aio.secure_channel(self._target, self._credentials, self._options)
        await self.again()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()
        await self._channel.close()

    async def again(self) -> None:
        """Open another stream on the same channel, and speak on that from now on."""
        self._call = self._channel.stream_stream(_SERVICE + self._method)()

    def cancel(self) -> None:
        """Break the stream off."""
        self._call.cancel()

    def request(self, *, type_url: str, node: str = "", **fields: Any) -> bytes:
        """Encode a request; `node` is the node's id, empty for no node at all."""
        given = {"node": Node(id=node), **fields} if node else fields
        encoded: bytes = self._request(type_url=type_url, **given).SerializeToString()
        return encoded

    async def send(self, payload: bytes) -> None:
        """Send bytes as they are."""
        await self._call.write(payload)

    async def receive(self, within: float = 5.0) -> Any:
        """Give the next response; None at the end. Raises TimeoutError and grpc.aio.AioRpcError."""
        async with asyncio.timeout(within):
            payload = await self._call.read()
        return None if payload is grpc.aio.EOF else self._response.FromString(payload)

    async def refusal(self, within: float = 10.0) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the stream, past what is still sent; give its status and sentence."""
        async with asyncio.timeout(within):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self._call.read() is not grpc.aio.EOF:
                    pass
            return await self._call.code(), await self._call.details() or ""
