"""One stream of the Python load generator: it subscribes like an Envoy, and acknowledges everything."""

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import grpc
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from xds_server.model.types import TypeUrl

_SERVICE: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
_KNOWN: Final = 20_000
SHORT: Final = {
    TypeUrl.CLUSTER.value: "cds",
    TypeUrl.ENDPOINTS.value: "eds",
    TypeUrl.LISTENER.value: "lds",
    TypeUrl.ROUTES.value: "rds",
}
"""The types by the words of the commands."""

_PARENTS: Final = {
    TypeUrl.CLUSTER.value: TypeUrl.ENDPOINTS.value,
    TypeUrl.LISTENER.value: TypeUrl.ROUTES.value,
}


class Variant(StrEnum):
    """How a stream speaks."""

    DELTA = "delta"
    SOTW = "sotw"


_METHODS: Final = {
    Variant.DELTA: ("DeltaAggregatedResources", DeltaDiscoveryRequest, DeltaDiscoveryResponse),
    Variant.SOTW: ("StreamAggregatedResources", DiscoveryRequest, DiscoveryResponse),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One response: its type, when it came (Unix ns), how many resources and bytes it had."""

    type_url: str
    at: int
    resources: int
    bytes: int


class Stream:
    """An Envoy, as far as discovery goes; its number makes the node id, the rest is in the node too.

    What it holds outlives the connection: opened again, it tells the server.
    """

    def __init__(self, number: int, variant: Variant, cluster: str, metadata: dict[str, Any]) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self.ready_at = 0.0
        self._delta = variant is Variant.DELTA
        self._method, self._request, self._response = _METHODS[variant]
        self._cluster = cluster
        self._metadata = metadata
        self._node: Node | None = None
        self._call: Any = None
        self._held: dict[str, dict[str, str]] = {type_url: {} for type_url in SHORT}
        self._children: dict[str, dict[str, tuple[str, ...]]] = {type_url: {} for type_url in _PARENTS}
        self._versions: dict[str, str] = {}
        self._asked: dict[str, set[str]] = {}

    async def open(self, channel: Any) -> None:
        """Open it on a channel, and ask."""
        self._node = Node(id=f"bench-{self.number}", cluster=self._cluster)
        self._node.metadata.update(self._metadata)
        self.ready = asyncio.Event()
        known = {type_url: names for type_url, names in self._asked.items() if names}
        self._asked = {}
        self._call = channel.stream_stream(_SERVICE + self._method)()
        for type_url in _PARENTS:
            await self._ask(type_url, set())
        for type_url, names in known.items():
            await self._ask(type_url, names)
        if known:
            # It holds everything: a server that has nothing new need not say anything.
            self._is_ready()

    async def take(self) -> Heard:
        """Take a response, acknowledge it, ask for what follows from it. Raises EOFError at the end."""
        payload = await self._call.read()
        if payload is grpc.aio.EOF:
            raise EOFError(await self._call.details())
        at, response = time.time_ns(), self._response.FromString(payload)
        self._hold(response)
        await self._acknowledge(response)
        if child := _PARENTS.get(response.type_url):
            found = self._children[response.type_url].values()
            await self._ask(child, {name for names in found for name in names})
        if not self.ready.is_set() and self._has_all():
            self._is_ready()
        return Heard(type_url=response.type_url, at=at, resources=len(response.resources), bytes=len(payload))

    def _hold(self, response: Any) -> None:
        type_url = response.type_url
        held = self._held.setdefault(type_url, {})
        if self._delta:
            entries = {one.name: (one.version, one.resource.value) for one in response.resources}
            for name in response.removed_resources:
                held.pop(name, None)
                self._children.get(type_url, {}).pop(name, None)
        else:
            entries = {}
            for one in response.resources:
                name = _name(type_url, one.value)
                entries[name] = response.version_info, one.value
            self._versions[type_url] = response.version_info
            if type_url in _PARENTS:
                held.clear()
                self._children[type_url].clear()
        held.update({name: version for name, (version, _) in entries.items()})
        if type_url in _PARENTS:
            self._children[type_url].update(
                {name: _children(type_url, value) for name, (_, value) in entries.items()}
            )

    def _has_all(self) -> bool:
        parents = all(self._held[type_url] for type_url in _PARENTS)
        return parents and all(
            self._asked.get(type_url, set()) <= self._held[type_url].keys() for type_url in _PARENTS.values()
        )

    def _is_ready(self) -> None:
        self.ready_at = time.perf_counter()
        self.ready.set()

    # --- requests --------------------------------------------------------------------------------------

    async def _ask(self, type_url: str, names: set[str]) -> None:
        """Subscribe to names; none, for a type that is asked for the first time, is a wildcard."""
        known = self._asked.get(type_url)
        if known == names or (known is None and not names and type_url not in _PARENTS):
            return
        self._asked[type_url] = names
        request = self._request(type_url=type_url, node=self._node)
        self._node = None
        if self._delta:
            request.resource_names_subscribe.extend(sorted(names - (known or set())))
            request.resource_names_unsubscribe.extend(sorted((known or set()) - names))
            if known is None:
                request.initial_resource_versions.update(self._held[type_url])
        else:
            request.resource_names.extend(sorted(names))
            request.version_info = self._versions.get(type_url, "")
        await self._call.write(request.SerializeToString())

    async def _acknowledge(self, response: Any) -> None:
        request = self._request(type_url=response.type_url, response_nonce=response.nonce)
        if not self._delta:
            request.version_info = response.version_info
            request.resource_names.extend(sorted(self._asked.get(response.type_url, ())))
        await self._call.write(request.SerializeToString())


_CLASSES: Final[dict[str, tuple[Any, str]]] = {
    TypeUrl.CLUSTER.value: (Cluster, "name"),
    TypeUrl.ENDPOINTS.value: (ClusterLoadAssignment, "cluster_name"),
    TypeUrl.LISTENER.value: (Listener, "name"),
    TypeUrl.ROUTES.value: (RouteConfiguration, "name"),
}


@lru_cache(_KNOWN)
def _name(type_url: str, value: bytes) -> str:
    """Name a resource; many streams have the same, so it is read once."""
    message, field = _CLASSES[type_url]
    return str(getattr(message.FromString(value), field))


@lru_cache(_KNOWN)
def _children(type_url: str, value: bytes) -> tuple[str, ...]:
    """Name what a cluster or a listener refers to."""
    if type_url == TypeUrl.CLUSTER:
        cluster = Cluster.FromString(value)
        if cluster.type != Cluster.EDS:
            return ()
        return (cluster.eds_cluster_config.service_name or cluster.name,)
    return tuple(_routes(Listener.FromString(value)))


def _routes(listener: Any) -> list[str]:
    chains = [*listener.filter_chains, listener.default_filter_chain]
    filters = [one.typed_config for chain in chains for one in chain.filters]
    found = []
    for packed in filters:
        if packed.Is(hcm.HttpConnectionManager.DESCRIPTOR):
            manager = hcm.HttpConnectionManager()
            packed.Unpack(manager)
            if manager.HasField("rds"):
                found.append(manager.rds.route_config_name)
    return found
