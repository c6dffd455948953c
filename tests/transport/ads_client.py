"""A small xDS client over real gRPC, spoken to in sentences.

    async with AdsClient(port, "delta") as client:
        await client.subscribe(CDS).expect(CDS, "user").ack(CDS).expect_nothing()

What is said is done when the sentence is awaited, word by word.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Sequence
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
from xds_server.transport.services import ADS, SERVICES

SERVICE: Final = f"/{ADS.name}/"
METHODS: Final = {"sotw": ADS.sotw, "delta": ADS.delta}
VARIANTS: Final = ("sotw", "delta", "sotw per type", "delta per type")
BY_TYPE: Final = {service.type: service for service in SERVICES}
_RESPONSES: Final = {"sotw": DiscoveryResponse, "delta": DeltaDiscoveryResponse}
_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
_PATIENCE: Final = 15.0


def edge(node_id: str = "edge-1", **metadata: Any) -> Node:
    node = Node(id=node_id, cluster="edge")
    node.metadata.update(metadata)
    return node


class AdsClient:
    """One client: a stream for all types, or with `... per type` one stream for each type it speaks of.

    `node` goes with the first request of a stream only, unless `node_always`.
    """

    def __init__(
        self,
        port: int,
        variant: str,
        *,
        node: Node | None = None,
        node_always: bool = False,
        options: Sequence[tuple[str, int]] = _OPTIONS,
    ) -> None:
        self.variant, _, per_type = variant.partition(" ")
        self.received: list[Any] = []
        self._per_type = bool(per_type)
        self._port = port
        self._node = edge() if node is None else node
        self._node_always = node_always
        self._options = options
        self._names: dict[str, list[str]] = {}
        self._latest: dict[str, Any] = {}
        self._words: list[Callable[[], Awaitable[None]]] = []
        self._channel: Any = None
        self.calls: dict[str, Any] = {}
        """The open calls by their method."""
        self._introduced: set[str] = set()
        self._reading: dict[str, asyncio.Future[Any]] = {}

    @property
    def call(self) -> Any:
        """The first call."""
        return next(iter(self.calls.values()))

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options=self._options)
        if not self._per_type:
            self._call(self._method(""))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for call in self.calls.values():
            call.cancel()
        await self._channel.close()

    def _method(self, type_url: str) -> str:
        service = BY_TYPE[type_url] if self._per_type else ADS
        return f"/{service.name}/{getattr(service, self.variant)}"

    def _call(self, method: str) -> Any:
        if method not in self.calls:
            self.calls[method] = self._channel.stream_stream(method)()
        return self.calls[method]

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

    def introduce(self, node: Node) -> None:
        """Send this node with the next request of every stream."""
        self._node = node
        self._introduced.clear()

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

        async def word() -> None:
            await self.call.done_writing()

        return self._then(word)

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
        method = self._method(type_url)
        if self._node_always or method not in self._introduced:
            request.node.CopyFrom(self._node)
            self._introduced.add(method)
        await self._call(method).write(request.SerializeToString())

    # --- what it hears -----------------------------------------------------------------------------------

    def expect(self, type_url: TypeUrl, *names: str, removed: tuple[str, ...] = ()) -> Self:
        """Hear a response next (of the stream for this type), with resources of exactly these names."""

        async def word() -> None:
            message = await self.hear(type_url)
            assert message.type_url == type_url
            assert sorted(self.contents(message)) == sorted(names)
            assert sorted(getattr(message, "removed_resources", ())) == sorted(removed)

        return self._then(word)

    def expect_nothing(self, seconds: float = 0.1) -> Self:
        """Hear nothing for a while, on any stream."""

        async def word() -> None:
            for method in self.calls:
                self._read(method)
            done, _ = await asyncio.wait(self._reading.values(), timeout=seconds)
            assert not done, [one.result() for one in done]

        return self._then(word)

    async def hear(self, type_url: str = "") -> Any:
        """Give the next response, decoded; with a stream for each type, the next of that type."""
        method = self._method(type_url) if type_url else next(iter(self.calls))
        async with asyncio.timeout(_PATIENCE):
            payload = await self._read(method)
        del self._reading[method]
        assert payload is not grpc.aio.EOF, await self.calls[method].details()
        message = _RESPONSES[self.variant].FromString(payload)
        self._latest[message.type_url] = message
        self.received.append(message)
        return message

    def _read(self, method: str) -> "asyncio.Future[Any]":
        """Give the read that is under way: to cancel one would end the call."""
        if method not in self._reading:
            self._reading[method] = asyncio.ensure_future(self.calls[method].read())
        return self._reading[method]

    def contents(self, message: Any) -> dict[str, str]:
        """Give the resources of a response: name and content."""
        packed = [one if self.variant == "sotw" else one.resource for one in message.resources]
        return dict(content(TypeUrl(message.type_url), one.SerializeToString()) for one in packed)

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """Wait until the server ends the stream, and give how; what it still sent is passed over."""
        method = next(iter(self.calls))
        async with asyncio.timeout(_PATIENCE):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self._read(method) is not grpc.aio.EOF:
                    del self._reading[method]
            return await self.call.code(), await self.call.details()
