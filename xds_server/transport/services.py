"""The discovery services of xDS v3, by the names their `.proto` files give them.

Only the aggregated service keeps types in order, as they share a stream: a client that fetches clusters by
one stream and endpoints by another waits up to 15 s for the endpoints of a cluster that changed (P-091).

Serving a method needs no generated stub, as requests and responses pass as bytes; the imports are for
reflection, which describes what it finds in the descriptor pool.
"""

from dataclasses import dataclass
from typing import Final

from envoy.service.cluster.v3 import cds_pb2 as _cds  # noqa: F401
from envoy.service.discovery.v3 import ads_pb2 as _ads  # noqa: F401
from envoy.service.endpoint.v3 import eds_pb2 as _eds  # noqa: F401
from envoy.service.extension.v3 import config_discovery_pb2 as _ecds  # noqa: F401
from envoy.service.listener.v3 import lds_pb2 as _lds  # noqa: F401
from envoy.service.route.v3 import rds_pb2 as _rds  # noqa: F401 - holds VHDS too
from envoy.service.route.v3 import srds_pb2 as _srds  # noqa: F401
from envoy.service.runtime.v3 import rtds_pb2 as _rtds  # noqa: F401
from envoy.service.secret.v3 import sds_pb2 as _sds  # noqa: F401

from xds_server.model.types import TypeUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One gRPC service: its full name, its two streaming methods, and the only type they carry.

    `type` is None on the aggregated service, where each request says its type. `sotw` is empty where the
    specification has no such method. The unary `Fetch*` methods are not served: the REST endpoint on the
    admin port is for clients that poll (P-019).
    """

    name: str
    type: TypeUrl | None
    sotw: str
    delta: str


ADS: Final = Service(
    name="envoy.service.discovery.v3.AggregatedDiscoveryService",
    type=None,
    sotw="StreamAggregatedResources",
    delta="DeltaAggregatedResources",
)


def _of(name: str, type_url: TypeUrl, sotw: str, delta: str) -> Service:
    return Service(name=f"envoy.service.{name}", type=type_url, sotw=sotw, delta=delta)


# Source: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#rpc-services-and-variants
SERVICES: Final = (
    ADS,
    _of("listener.v3.ListenerDiscoveryService", TypeUrl.LISTENER, "StreamListeners", "DeltaListeners"),
    _of("route.v3.RouteDiscoveryService", TypeUrl.ROUTES, "StreamRoutes", "DeltaRoutes"),
    _of(
        "route.v3.ScopedRoutesDiscoveryService",
        TypeUrl.SCOPED_ROUTES,
        "StreamScopedRoutes",
        "DeltaScopedRoutes",
    ),
    # Virtual hosts are asked for one by one, which only the incremental variant can.
    _of("route.v3.VirtualHostDiscoveryService", TypeUrl.VIRTUAL_HOST, "", "DeltaVirtualHosts"),
    _of("cluster.v3.ClusterDiscoveryService", TypeUrl.CLUSTER, "StreamClusters", "DeltaClusters"),
    _of("endpoint.v3.EndpointDiscoveryService", TypeUrl.ENDPOINTS, "StreamEndpoints", "DeltaEndpoints"),
    _of("secret.v3.SecretDiscoveryService", TypeUrl.SECRET, "StreamSecrets", "DeltaSecrets"),
    _of("runtime.v3.RuntimeDiscoveryService", TypeUrl.RUNTIME, "StreamRuntime", "DeltaRuntime"),
    _of(
        "extension.v3.ExtensionConfigDiscoveryService",
        TypeUrl.EXTENSION,
        "StreamExtensionConfigs",
        "DeltaExtensionConfigs",
    ),
)
"""Every discovery service of this server, the aggregated one first (P-001)."""
