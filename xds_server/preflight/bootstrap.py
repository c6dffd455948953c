"""From resources to a static configuration that makes an Envoy load each of them, without any server."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource, ApiVersion
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from xds_server.model.types import TypeUrl
from xds_server.snapshot import Resource
from xds_server.translate.names import XDS_CLUSTER
from xds_server.translate.packing import pack

M = TypeVar("M", bound=Message)


def bootstrap(resources: Iterable[Resource]) -> bytes:
    """Give a serialised `envoy.config.bootstrap.v3.Bootstrap` with every resource of `VETTED` in it.

    Route configurations and virtual hosts hang on listeners made for the purpose. Clusters they lead to need
    not be there: that references close is known already.
    """
    made = Bootstrap()
    made.node.id = made.node.cluster = "preflight"
    ads = made.dynamic_resources.ads_config
    ads.api_type, ads.transport_api_version = ApiConfigSource.DELTA_GRPC, ApiVersion.V3
    ads.grpc_services.append(GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=XDS_CLUSTER)))
    made.static_resources.clusters.append(Cluster(name=XDS_CLUSTER, type=Cluster.STATIC))
    routes: list[RouteConfiguration] = []
    hosts: list[VirtualHost] = []
    for one in resources:
        match one.type:
            case TypeUrl.CLUSTER:
                made.static_resources.clusters.append(_unpacked(one, Cluster()))
            case TypeUrl.LISTENER:
                made.static_resources.listeners.append(_unpacked(one, Listener()))
            case TypeUrl.ROUTES:
                routes.append(_unpacked(one, RouteConfiguration()))
            case TypeUrl.VIRTUAL_HOST:
                hosts.append(_unpacked(one, VirtualHost()))
    # Two hosts may have one domain, as they are of different listeners.
    routes.extend(RouteConfiguration(name=one.name, virtual_hosts=[one]) for one in hosts)
    made.static_resources.listeners.extend(_listeners(routes))
    return made.SerializeToString(deterministic=True)


def _unpacked(resource: Resource, message: M) -> M:
    Any.FromString(resource.packed).Unpack(message)
    return message


def _listeners(routes: Iterable[RouteConfiguration]) -> Iterator[Listener]:
    for number, one in enumerate(routes, 1):
        one.validate_clusters.value = False
        # It is for route configurations that a server sends.
        one.ClearField("vhds")
        manager = HttpConnectionManager(stat_prefix="preflight", route_config=one)
        manager.http_filters.append(HttpFilter(name="envoy.filters.http.router", typed_config=pack(Router())))
        chain = Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(manager))
        # None is bound; they only have to differ.
        address = Address(
            socket_address=SocketAddress(
                address=f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}", port_value=1
            )
        )
        yield Listener(
            name=f"preflight:{one.name}", address=address, filter_chains=[FilterChain(filters=[chain])]
        )
