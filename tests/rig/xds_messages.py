"""What was said on a discovery stream, as values: the same for both variants, with what the rules need."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from xds_server.model.types import TypeUrl

_PREFIX = "type.googleapis.com/"
_ON_DEMAND = b"envoy.filters.http.on_demand"

Link = tuple[str, str]
"""The type and the name of a resource that another one leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`names` is what a SotW request wants in all; the other lists and `held` are delta's."""

    order: int
    at: float
    type: str
    names: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    version: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One resource of a response. `version` is the hash of its content where SotW has no version of it."""

    version: str
    links: frozenset[Link] = frozenset()
    aliases: tuple[str, ...] = ()
    heartbeat: bool = False
    on_demand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response; `version` is that of the whole, which delta does not have."""

    order: int
    at: float
    type: str
    nonce: str
    version: str = ""
    items: Mapping[str, Item] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream in the order in which things passed the tap; `ended` is None while it was open."""

    variant: str
    events: tuple[Request | Response, ...]
    label: str = ""
    node: str = ""
    ended: float | None = None


def variant_of(first: bytes) -> str | None:
    """Tell a stream's variant by its first request: field 4 is the type in SotW, field 2 in delta.

    None for what is no discovery stream, e.g. a load report.
    """
    for variant, kind in (("delta", DeltaDiscoveryRequest), ("sotw", DiscoveryRequest)):
        try:
            if kind.FromString(first).type_url.startswith(_PREFIX):
                return variant
        except DecodeError:
            continue
    return None


def node_of(variant: str, first: bytes) -> str:
    """Give the id of the node that a first request tells."""
    kind: Any = DeltaDiscoveryRequest if variant == "delta" else DiscoveryRequest
    return str(kind.FromString(first).node.id)


def request(variant: str, payload: bytes, order: int, at: float) -> Request:
    """Decode a request. Raises DecodeError."""
    found: Any = (DeltaDiscoveryRequest if variant == "delta" else DiscoveryRequest).FromString(payload)
    common = {
        "order": order,
        "at": at,
        "type": found.type_url,
        "nonce": found.response_nonce,
        "error": found.error_detail.message if found.HasField("error_detail") else None,
    }
    if variant == "sotw":
        return Request(names=tuple(found.resource_names), version=found.version_info, **common)
    return Request(
        subscribe=tuple(found.resource_names_subscribe),
        unsubscribe=tuple(found.resource_names_unsubscribe),
        held=dict(found.initial_resource_versions),
        **common,
    )


def response(variant: str, payload: bytes, order: int, at: float) -> Response:
    """Decode a response. Raises DecodeError, and ValueError for a name that comes twice (P-063)."""
    found: Any = (DeltaDiscoveryResponse if variant == "delta" else DiscoveryResponse).FromString(payload)
    if variant == "sotw":
        pairs = [_of_sotw(packed) for packed in found.resources]
        version, removed = found.version_info, ()
    else:
        pairs = [(one.name, _of_delta(one)) for one in found.resources]
        version, removed = "", tuple(found.removed_resources)
    names = [*(name for name, _ in pairs), *removed]
    if len(set(names)) != len(names):
        raise ValueError(f"a name is twice in one response: {sorted(names)}")
    return Response(
        order=order,
        at=at,
        type=found.type_url,
        nonce=found.nonce,
        version=version,
        items=dict(pairs),
        removed=removed,
    )


def _of_sotw(packed: Packed) -> tuple[str, Item]:
    message = _message(packed)
    name = str(getattr(message, "cluster_name", "") or getattr(message, "name", ""))
    version = hashlib.sha256(packed.SerializeToString()).hexdigest()[:12]
    return name, _item(message, packed, version=version)


def _of_delta(found: Resource) -> Item:
    if not found.HasField("resource"):
        return Item(version=found.version, heartbeat=True)
    message = _message(found.resource)
    return _item(message, found.resource, version=found.version, aliases=tuple(found.aliases))


def _item(message: Message | None, packed: Packed, **given: Any) -> Item:
    links = frozenset() if message is None else frozenset(_links(message))
    return Item(links=links, on_demand=_ON_DEMAND in packed.value, **given)


def _message(packed: Packed) -> Message | None:
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
    except KeyError:
        return None
    return GetMessageClass(descriptor).FromString(packed.value)


def _links(message: Message) -> Iterator[Link]:
    """Give what a resource leads to: a cluster to its endpoints, a listener to routes, routes to clusters."""
    match message:
        case Cluster() if message.type == Cluster.EDS:
            yield TypeUrl.ENDPOINTS, message.eds_cluster_config.service_name or message.name
        case Listener():
            yield from _of_listener(message)
        case RouteConfiguration() | VirtualHost():
            yield from ((TypeUrl.CLUSTER, name) for name in clusters_named(message))


def _of_listener(listener: Listener) -> Iterator[Link]:
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for one in chain.filters:
            http, tcp = HttpConnectionManager(), TcpProxy()
            if one.typed_config.Unpack(http):
                if http.HasField("rds"):
                    yield TypeUrl.ROUTES, http.rds.route_config_name
                yield from ((TypeUrl.CLUSTER, name) for name in clusters_named(http.route_config))
            elif one.typed_config.Unpack(tcp):
                yield from ((TypeUrl.CLUSTER, name) for name in clusters_named(tcp))


def clusters_named(message: Any) -> Iterator[str]:
    """Give every cluster that a route configuration, a virtual host or a TCP proxy sends traffic to."""
    match message:
        case RouteConfiguration():
            for host in message.virtual_hosts:
                yield from clusters_named(host)
        case VirtualHost():
            for route in message.routes:
                yield from clusters_named(route.route)
        case _:  # RouteAction, TcpProxy
            if message.cluster:
                yield message.cluster
            yield from (one.name for one in message.weighted_clusters.clusters)
