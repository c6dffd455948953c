"""Many xDS clients in one process: each subscribes like an Envoy with one listener, and acknowledges all.

    python -m bench.clients PORT --mode delta --connections 50 --streams 20 --services 100 [--over 1.0]

It prints one line when every stream has its first answers in full: a JSON list of the milliseconds each took
from the start of its connection. Then it goes on acknowledging until it is killed. `bench.streams` starts it.
"""

import asyncio
import json
import os
from time import perf_counter
from typing import Any, Final

import click
import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from bench import catalogs
from xds_server.model.types import TypeUrl

_SERVICE: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
_VARIANTS: Final[dict[str, tuple[str, Any, Any]]] = {
    "delta": ("DeltaAggregatedResources", DeltaDiscoveryRequest, DeltaDiscoveryResponse),
    "sotw": ("StreamAggregatedResources", DiscoveryRequest, DiscoveryResponse),
}
_CHILD: Final = {TypeUrl.CLUSTER: TypeUrl.ENDPOINTS, TypeUrl.LISTENER: TypeUrl.ROUTES}
# Without it all channels of a process to one address share a connection.
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))


class Client:
    """One stream: its subscriptions, and what it still waits for."""

    def __init__(self, mode: str, number: int, services: int) -> None:
        self._method, self._request, self._response = _VARIANTS[mode]
        self._delta = mode == "delta"
        self._node: Node | None = Node(id=f"bench-{os.getpid()}-{number}", cluster="bench")
        self._node.metadata.update({"envoy_admin_port": 19000})
        # What a type's first answers hold in all: the names that are asked for, none for a wildcard.
        self._names = {TypeUrl.ENDPOINTS: catalogs.names(services), TypeUrl.ROUTES: [catalogs.LISTENER]}
        self._missing = {
            TypeUrl.CLUSTER: services,
            TypeUrl.LISTENER: 1,
            **{type_url: len(names) for type_url, names in self._names.items()},
        }
        self._call: Any = None

    async def start(self, channel: Any) -> None:
        """Open the stream, and return when the first answers are there in full."""
        self._call = channel.stream_stream(_SERVICE + self._method)()
        for type_url in _CHILD:
            await self._write(type_url)
        while self._missing:
            await self._take()

    async def go_on(self) -> None:
        """Acknowledge for ever."""
        while True:
            await self._take()

    async def _take(self) -> None:
        payload = await self._call.read()
        if payload is grpc.aio.EOF:
            raise click.ClickException(f"the server ended a stream: {await self._call.details()}")
        response = self._response.FromString(payload)
        type_url = TypeUrl(response.type_url)
        await self._write(type_url, response)
        if type_url not in self._missing:
            return
        self._missing[type_url] -= len(response.resources)
        if self._missing[type_url] <= 0:
            del self._missing[type_url]
            if child := _CHILD.get(type_url):
                await self._write(child)

    async def _write(self, type_url: TypeUrl, acknowledged: Any = None) -> None:
        """Subscribe, or acknowledge a response: SotW names everything each time, delta only what is new."""
        nonce = "" if acknowledged is None else acknowledged.nonce
        request = self._request(type_url=type_url, response_nonce=nonce, node=self._node)
        self._node = None
        names = self._names.get(type_url, [])
        if self._delta:
            request.resource_names_subscribe.extend(() if acknowledged else names)
        else:
            request.resource_names.extend(names)
            request.version_info = acknowledged.version_info if acknowledged else ""
        await self._call.write(request.SerializeToString())


async def run(target: str, mode: str, sizes: tuple[int, int, int], over: float) -> None:
    """Open all streams within `over` seconds; print their times; acknowledge until killed."""
    connections, streams, services = sizes
    async with asyncio.TaskGroup() as tasks:
        started = [
            tasks.create_task(
                _connect(target, mode, (number, streams, services), over * number / connections)
            )
            for number in range(connections)
        ]
        times = [time for connection in started for time in await connection]
        print(json.dumps(times), flush=True)
        await asyncio.Event().wait()


async def _connect(target: str, mode: str, sizes: tuple[int, int, int], wait: float) -> list[float]:
    """Open one connection with its streams; give how long each took."""
    await asyncio.sleep(wait)
    number, streams, services = sizes
    channel = grpc.aio.insecure_channel(target, _OPTIONS)
    first = number * streams
    clients = [Client(mode, first + index, services) for index in range(streams)]
    return await asyncio.gather(*(_first_answers(client, channel) for client in clients))


async def _first_answers(client: Client, channel: Any) -> float:
    started = perf_counter()
    await client.start(channel)
    elapsed = 1000 * (perf_counter() - started)
    _going_on.add(asyncio.create_task(client.go_on()))
    return elapsed


_going_on: set[asyncio.Task[None]] = set()
"""A task that nobody holds may be collected while it runs."""


@click.command()
@click.argument("port", type=int)
@click.option("--mode", type=click.Choice(list(_VARIANTS)), required=True)
@click.option("--connections", type=click.IntRange(1, 1000), required=True)
@click.option("--streams", type=click.IntRange(1, 100), required=True, help="Streams of each connection.")
@click.option("--services", type=click.IntRange(1, 10_000), required=True, help="Services in the catalog.")
@click.option("--over", default=0.0, show_default=True, help="Seconds over which connections are spread.")
def main(port: int, mode: str, connections: int, streams: int, services: int, over: float) -> None:
    """Open streams to the server on PORT of this machine, and keep them."""
    asyncio.run(run(f"127.0.0.1:{port}", mode, (connections, streams, services), over))


if __name__ == "__main__":
    main()
