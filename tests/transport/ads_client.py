"""A small xDS client over real gRPC, spoken to in sentences.

    async with AdsClient(port, "delta") as client:
        await client.subscribe(CDS).expect(CDS, "user").ack(CDS).expect_nothing()

What is said is done when the sentence is awaited, word by word.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Final, Self

import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.rpc.status_pb2 import Status

from tests.protocol.resources import content
from xds_server.model.types import TypeUrl

SERVICE: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
METHODS: Final = {"sotw": "StreamAggregatedResources", "delta": "DeltaAggregatedResources"}
_RESPONSES: Final = {"sotw": DiscoveryResponse, "delta": DeltaDiscoveryResponse}
_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
_PATIENCE: Final = 5.0


def edge(node_id: str = "edge-1", **metadata: Any) -> Node:
    node = Node(id=node_id, cluster="edge")
    node.metadata.update(metadata)
    return node


class AdsClient:
    """One stream; `node` goes with its first request only, unless `node_always`."""

    def __init__(
        self, port: int, variant: str, *, node: Node | None = None, node_always: bool = False
    ) -> None:
        self.variant = variant
        self.received: list[Any] = []
        self._port = port
        self._node = edge() if node is None else node
        self._node_always = node_always
        self._names: dict[str, list[str]] = {}
        self._latest: dict[str, Any] = {}
        self._words: list[Callable[[], Awaitable[None]]] = []
        self._channel: Any = None
        self.call: Any = None

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options=_OPTIONS)
        self.call = self._channel.stream_stream(SERVICE + METHODS[self.variant])()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call.cancel()
        await self._channel.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._speak().__await__()

    async def _speak(self) -> Self:
        words, self._words = self._words, []
        for word in words:
            await word()
        return self

    def _then(self, word: Callable[[], Awaitable[None]]) -> Self:
        self._words.append(word)
        return self

    # --- what it says ------------------------------------------------------------------------------------

    def subscribe(self, type_url: str, *names: str) -> Self:
        """Ask for names besides those asked for before; for none at first: everything."""

        async def word() -> None:
            known = self._names.setdefault(type_url, [])
            known.extend(names)
            await self._write(type_url, list(names))

        return self._then(word)

    def ack(self, type_url: str) -> Self:
        """Accept the newest response of a type."""
        return self._then(lambda: self._write(type_url, []))

    def nack(self, type_url: str, error: str = "no good") -> Self:
        """Reject the newest response of a type."""
        return self._then(lambda: self._write(type_url, [], error))

    def say(self, payload: bytes) -> Self:
        """Send any bytes."""
        return self._then(lambda: self.call.write(payload))

    def half_close(self) -> Self:
        """Say that nothing more will be said."""
        return self._then(self.call.done_writing)

    async def _write(self, type_url: str, names: list[str], error: str = "") -> None:
        latest = self._latest.get(type_url)
        nonce = latest.nonce if latest is not None else ""
        request: Any
        if self.variant == "sotw":
            version = latest.version_info if latest is not None else ""
            request = DiscoveryRequest(
                type_url=type_url,
                resource_names=self._names.get(type_url, []),
                response_nonce=nonce,
                version_info=version,
            )
        else:
            request = DeltaDiscoveryRequest(
                type_url=type_url, resource_names_subscribe=names, response_nonce=nonce
            )
        if error:
            request.error_detail.CopyFrom(Status(code=13, message=error))
        if self._node is not None:
            request.node.CopyFrom(self._node)
            self._node = self._node if self._node_always else None
        await self.call.write(request.SerializeToString())

    # --- what it hears -----------------------------------------------------------------------------------

    def expect(self, type_url: TypeUrl, *names: str, removed: tuple[str, ...] = ()) -> Self:
        """Hear a response next, with resources of exactly these names."""

        async def word() -> None:
            message = await self.hear()
            assert message.type_url == type_url
            assert sorted(self.contents(message)) == sorted(names)
            assert sorted(getattr(message, "removed_resources", ())) == sorted(removed)

        return self._then(word)

    def expect_nothing(self, seconds: float = 0.1) -> Self:
        """Hear nothing for a while."""

        async def word() -> None:
            # `read` is not to be cancelled: that would end the call.
            reading = asyncio.ensure_future(self.call.read())
            done, _ = await asyncio.wait([reading], timeout=seconds)
            assert not done, reading.result()
            self._reading = reading

        return self._then(word)

    async def hear(self) -> Any:
        """Give the next response, decoded."""
        reading, self._reading = self._reading, None
        async with asyncio.timeout(_PATIENCE):
            payload = await (reading or self.call.read())
        assert payload is not grpc.aio.EOF, await self.call.details()
        message = _RESPONSES[self.variant].FromString(payload)
        self._latest[message.type_url] = message
        self.received.append(message)
        return message

    _reading: Any = None

    def contents(self, message: Any) -> dict[str, str]:
        """Give the resources of a response: name and content."""
        packed = [one if self.variant == "sotw" else one.resource for one in message.resources]
        return dict(content(TypeUrl(message.type_url), one.SerializeToString()) for one in packed)

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """Wait until the server ends the stream, and give how; what it still sent is passed over."""
        async with asyncio.timeout(_PATIENCE):
            reading, self._reading = self._reading, None
            try:
                payload = await (reading or self.call.read())
                while payload is not grpc.aio.EOF:
                    payload = await self.call.read()
            except grpc.aio.AioRpcError:
                pass
            return await self.call.code(), await self.call.details()
