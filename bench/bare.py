"""The limit: a grpc.aio server that only sends ready-made bytes: `python -m bench.bare`.

It answers the first request of each type, reads what comes after, and writes a change to every stream that
asked for its type: what gRPC in Python costs when nothing else is done. It is the best of the shapes that
were tried (docs/decisions/0025-push-path.md): one task a stream that reads, a task for each write, and a
collector that does not look at what is there. `bench.child` has the form of the conversation:

    set   file     set: started_at, at (Unix ns); its resources have changed, and were handed to gRPC
    cpu            cpu: seconds of this process
    rss            rss: bytes of this process
    stop
"""

import asyncio
import contextlib
import gc
import os
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import grpc
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)

from bench.orders import Orders, Said, obey, say
from bench.resident import resident

_SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_FULL: Final = ("envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener")
"""Messages of which state of the world sends all there are with each change."""

_ACK: Final = 128
"""Bytes of an acknowledgement without names."""

_THRESHOLD: Final = 50_000
_OPTIONS: Final = (
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)

By = dict[str, dict[str, Resource]]


def read(file: Path) -> list[Resource]:
    """Read `Resource` messages, each after its length (a varint)."""
    found, data, at = [], file.read_bytes(), 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        found.append(Resource.FromString(data[at : at + length]))
        at += length
    return found


class Open:
    """One stream: gRPC's context, its variant, and the names it asked for by type; empty means all."""

    __slots__ = ("asked", "context", "delta", "late", "longest", "writes")

    def __init__(self, context: Any, *, delta: bool) -> None:
        self.context = context
        self.delta = delta
        self.asked: dict[str, frozenset[str]] = {}
        self.longest = _ACK
        """Bytes of a request that asks for no more: an acknowledgement may repeat all names."""
        self.writes: asyncio.Task[None] | None = None
        self.late: list[bytes] = []
        """What came while a write was under way: gRPC takes one at a time."""


class Bare:
    """The server."""

    def __init__(self, resources: list[Resource]) -> None:
        self._by: By = {}
        self._streams: set[Open] = set()
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        """Names that streams asked for, so that they are not what a stream is measured by."""
        self._keep(resources)

    def _keep(self, resources: list[Resource]) -> set[str]:
        for one in resources:
            self._by.setdefault(one.resource.type_url, {})[one.name] = one
        return {one.resource.type_url for one in resources}

    def handler(self) -> Any:
        """Give gRPC's handler of both variants; messages pass as bytes."""
        methods = {
            name: grpc.stream_stream_rpc_method_handler(self._method(delta=delta))
            for name, delta in (("DeltaAggregatedResources", True), ("StreamAggregatedResources", False))
        }
        return grpc.method_handlers_generic_handler(_SERVICE, methods)

    def _method(self, *, delta: bool) -> Any:
        async def serve(_requests: Any, context: Any) -> None:
            stream = Open(context, delta=delta)
            self._streams.add(stream)
            try:
                while (request := await context.read()) is not grpc.aio.EOF:
                    if len(request) > stream.longest or len(stream.asked) < len(self._by):
                        self._answer(stream, request)
            finally:
                self._streams.discard(stream)

        return serve

    def _answer(self, stream: Open, payload: bytes) -> None:
        request: Any = (DeltaDiscoveryRequest if stream.delta else DiscoveryRequest).FromString(payload)
        names = frozenset(request.resource_names_subscribe if stream.delta else request.resource_names)
        request.ClearField("node")
        stream.longest = max(stream.longest, request.ByteSize() + _ACK)
        known = stream.asked.get(request.type_url)
        if known is not None and names <= known:
            return
        asked = names | (known or frozenset())
        stream.asked[request.type_url] = self._shared.setdefault(asked, asked)
        has = self._by.get(request.type_url, {})
        wanted = [has[name] for name in sorted(names) if name in has] if names - {"*"} else list(has.values())
        self._write(stream, _response(request.type_url, wanted, delta=stream.delta))

    def change(self, resources: list[Resource]) -> None:
        """Send what has changed to every stream that asked for its type."""
        gc.freeze()
        for type_url in sorted(self._keep(resources)):
            changed = [one for one in resources if one.resource.type_url == type_url]
            joined = cache(
                lambda delta, type_url=type_url, changed=changed: self._joined(type_url, changed, delta)
            )
            for stream in tuple(self._streams):
                if type_url in stream.asked:
                    self._write(stream, joined(stream.delta))

    def _joined(self, type_url: str, changed: list[Resource], delta: bool) -> bytes:
        full = not delta and type_url.endswith(_FULL)
        return _response(type_url, list(self._by[type_url].values()) if full else changed, delta=delta)

    def _write(self, stream: Open, payload: bytes) -> None:
        if stream.writes is not None:
            stream.late.append(payload)
            return
        stream.writes = asyncio.get_running_loop().create_task(self._writing(stream, payload))

    async def _writing(self, stream: Open, payload: bytes) -> None:
        with contextlib.suppress(grpc.aio.BaseError):
            await stream.context.write(payload)
            while stream.late:
                await stream.context.write(stream.late.pop(0))
        stream.writes = None


def _response(type_url: str, resources: list[Resource], *, delta: bool) -> bytes:
    made: Any
    if delta:
        made = DeltaDiscoveryResponse(type_url=type_url, nonce="1", resources=resources)
    else:
        packed = [one.resource for one in resources]
        made = DiscoveryResponse(type_url=type_url, nonce="1", version_info="1", resources=packed)
    return bytes(made.SerializeToString())


class Obeying:
    """Does what is said; files are read once."""

    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._files: dict[Path, list[Resource]] = {}
        self.orders: Orders = {
            "set": self._set,
            "cpu": lambda said: say("cpu", id=said["id"], seconds=time.process_time()),
            "rss": lambda said: say("rss", id=said["id"], bytes=resident()),
        }

    def _set(self, said: Said) -> None:
        file = Path(said["file"])
        resources = self._files[file] = self._files.get(file) or read(file)
        started = time.time_ns()
        self._bare.change(resources)
        say("set", id=said["id"], started_at=started, at=time.time_ns())


async def run(resources: Path) -> None:
    """Serve, and do what is said, until standard input ends."""
    gc.set_threshold(_THRESHOLD, 50, 100)
    bare = Bare(read(resources))
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((bare.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say("listening", port=port)
    await obey(Obeying(bare).orders)
    # Without a word to the streams: whoever ends this is done with it.
    os._exit(0)


@click.command()
@click.option("--resources", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--loop", type=click.Choice(["asyncio", "uvloop"]), default="asyncio", show_default=True)
def main(resources: Path, loop: str) -> None:
    """Serve the resources of a file until told to stop."""
    if loop == "uvloop":
        # Not a dependency: it is here for the figure.
        __import__("uvloop").install()
    asyncio.run(run(resources))


if __name__ == "__main__":
    main()
