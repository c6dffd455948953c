"""An xDS client that stays: it takes everything, accepts it, and comes back whenever its stream ends."""

import asyncio
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl

_TYPES = (TypeUrl.CLUSTER, TypeUrl.ENDPOINTS)


class Follower:
    """Follows the clusters there are and the endpoints of `service`.

    `ports` are the newest it has of those; `lost` counts how often it was told that it has none, `streams`
    how often it connected. `muted` it answers nothing.
    """

    def __init__(self, port: int, mode: str, service: str, *, node: str = "follower") -> None:
        self.ports: set[int] = set()
        self.lost = 0
        self.streams = 0
        self.muted = False
        self.node = node
        self._address = ("127.0.0.1", port)
        self._mode = mode
        self._service = service
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def reconnect(self) -> None:
        """Break the connection off, and come back on another."""
        await self._leave()
        self._task = asyncio.create_task(self._follow())

    async def _leave(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                async with XdsStream(self._address, self._mode) as stream:
                    self.streams += 1
                    await self._converse(stream)
            except grpc.aio.AioRpcError:
                pass
            except asyncio.InvalidStateError:
                # What is written on a call that has just ended.
                pass
            await asyncio.sleep(0.01)

    async def _converse(self, stream: XdsStream) -> None:
        for type_url in _TYPES:
            await stream.send(stream.request(type_url=type_url, node=self.node, **self._names(type_url)))
        while (response := await stream.receive(within=3600)) is not None:
            self._take(response)
            if not self.muted:
                await stream.send(self._answer(stream, response))

    def _names(self, type_url: str) -> dict[str, Any]:
        field = "resource_names" if self._mode == "sotw" else "resource_names_subscribe"
        return {field: [self._service if type_url == TypeUrl.ENDPOINTS else "*"]}

    def _answer(self, stream: XdsStream, response: Any) -> bytes:
        given: dict[str, Any] = {"response_nonce": response.nonce}
        if self._mode == "sotw":
            given |= {"version_info": response.version_info, **self._names(response.type_url)}
        return stream.request(type_url=response.type_url, **given)

    def _take(self, response: Any) -> None:
        names = getattr(response, "removed_resources", ())
        if response.type_url == TypeUrl.CLUSTER:
            self.lost += self._service in names or (self._mode == "sotw" and not response.resources)
            return
        self.lost += self._service in names
        for one in response.resources:
            packed = one if self._mode == "sotw" else one.resource
            assignment = ClusterLoadAssignment.FromString(packed.value)
            members = [member for place in assignment.endpoints for member in place.lb_endpoints]
            self.ports = {member.endpoint.address.socket_address.port_value for member in members}
            self.lost += not self.ports
