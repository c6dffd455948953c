"""The bootstrap: all an Envoy has to be told before this server tells it the rest."""

from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Final

from envoy.config.bootstrap.v3.bootstrap_pb2 import Admin, Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.backoff_pb2 import BackoffStrategy
from envoy.config.core.v3.base_pb2 import DataSource, Node, RetryPolicy, TransportSocket
from envoy.config.core.v3.base_pb2 import Locality as EnvoyLocality
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.core.v3.protocol_pb2 import Http2ProtocolOptions, KeepaliveSettings
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.config.validators.minimum_clusters.v3.minimum_clusters_pb2 import (
    MinimumClustersValidator,
)
from envoy.extensions.network.dns_resolver.cares.v3.cares_dns_resolver_pb2 import CaresDnsResolverConfig
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext, TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import SubjectAltNameMatcher as SanMatcher
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import UInt32Value, UInt64Value

from xds_server.model.catalog import Locality
from xds_server.translate import names
from xds_server.translate.packing import duration, pack
from xds_server.translate.sources import ADS

# By default a name server that does not answer is asked for 90 s, in which a new Envoy is not ready.
_IMPATIENT_RESOLVER: Final = TypedExtensionConfig(
    name="envoy.network.dns_resolver.cares",
    typed_config=pack(
        CaresDnsResolverConfig(query_timeout_seconds=UInt64Value(value=1), query_tries=UInt32Value(value=2))
    ),
)

_LOOPBACK: Final = "127.0.0.1"
# Envoy waits for a random time below a bound that doubles, so a fleet does not return all at once. With its
# own 30 s for the longest an Envoy is without news for that much longer after an outage (envoy, GrpcService).
_RECONNECT: Final = BackoffStrategy(base_interval=duration(0.5), max_interval=duration(10))

_NOT_SAID: Final = Locality()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTls:
    """TLS of the xDS channel: paths on the Envoy's machine, and the name in the server's certificate."""

    ca_file: str
    server_name: str
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapOptions:
    """Who the Envoy is, and where it finds this server: one or more replicas as (host, port).

    The admin interface can read and change everything of the Envoy, so it is on loopback by default. With
    `load_stats` the Envoy reports the requests it sends, and its 60 kB node each time (envoy#31317). A
    `gateway` is the service of Consul whose gateway entry decides on the listeners. An update that leaves
    fewer than `min_clusters` is rejected by the Envoy itself, the first one too; with 0 it takes any.
    """

    id: str
    cluster: str
    servers: tuple[tuple[str, int], ...]
    admin_address: str = _LOOPBACK
    admin_port: int = 19000
    delta: bool = True
    load_stats: bool = False
    gateway: str = ""
    min_clusters: int = 0
    locality: Locality = _NOT_SAID
    tls: ChannelTls | None = None


def bootstrap(options: BootstrapOptions) -> Bootstrap:
    """Give the bootstrap of an Envoy whose clusters and listeners come from this server over ADS."""
    metadata = Struct()
    metadata.update({names.ADMIN_PORT_METADATA: options.admin_port})
    metadata.update({names.STATIC_CLUSTERS_METADATA: sorted(names.RESERVED_CLUSTERS)})
    if options.gateway:
        metadata.update({names.GATEWAY_METADATA: options.gateway})
    node = Node(id=options.id, cluster=options.cluster, metadata=metadata)
    if options.locality != _NOT_SAID:
        node.locality.CopyFrom(EnvoyLocality(**asdict(options.locality)))
    message = Bootstrap(
        node=node,
        admin=Admin(address=_address(options.admin_address, options.admin_port)),
    )
    dynamic = message.dynamic_resources
    dynamic.ads_config.CopyFrom(_ads(delta=options.delta))
    if options.min_clusters:
        dynamic.ads_config.config_validators.append(_validator(options.min_clusters))
    for source in (dynamic.cds_config, dynamic.lds_config):
        source.CopyFrom(_waiting_source())
    if options.load_stats:
        message.cluster_manager.load_stats_config.CopyFrom(_load_stats())
    message.static_resources.clusters.append(_xds_cluster(options))
    message.typed_dns_resolver_config.CopyFrom(_IMPATIENT_RESOLVER)
    return message


def _ads(*, delta: bool) -> ApiConfigSource:
    return ApiConfigSource(
        api_type=ApiConfigSource.DELTA_GRPC if delta else ApiConfigSource.GRPC,
        transport_api_version=ApiVersion.V3,
        # A node is 61 kB of extension names; once a stream is enough (envoy#14976).
        set_node_on_first_message_only=True,
        grpc_services=[_xds_service()],
    )


def _validator(min_clusters: int) -> TypedExtensionConfig:
    """Give what lets the Envoy reject an update that takes its clusters away (Envoy, Minimum Clusters)."""
    return TypedExtensionConfig(
        name="envoy.config.validators.minimum_clusters",
        typed_config=pack(MinimumClustersValidator(min_clusters_num=min_clusters)),
    )


def _load_stats() -> ApiConfigSource:
    return ApiConfigSource(
        api_type=ApiConfigSource.GRPC, transport_api_version=ApiVersion.V3, grpc_services=[_xds_service()]
    )


def _xds_service() -> GrpcService:
    return GrpcService(
        envoy_grpc=GrpcService.EnvoyGrpc(
            cluster_name=names.XDS_CLUSTER, retry_policy=RetryPolicy(retry_back_off=_RECONNECT)
        )
    )


def _waiting_source() -> ConfigSource:
    """Wait for the first configuration for ever: an Envoy without it must not turn ready, empty."""
    source = ConfigSource()
    source.CopyFrom(ADS)
    source.initial_fetch_timeout.CopyFrom(Duration())
    return source


def _xds_cluster(options: BootstrapOptions) -> Cluster:
    """Give the replicas as endpoints of one cluster: when one goes, the stream moves to another at once."""
    http2 = Http2ProtocolOptions(
        # Finds out a half-open connection, in which an Envoy would wait for ever (envoy#5173).
        connection_keepalive=KeepaliveSettings(interval=duration(30), timeout=duration(5))
    )
    explicit = HttpProtocolOptions.ExplicitHttpConfig(http2_protocol_options=http2)
    numeric = all(_is_ip(host) for host, _ in options.servers)
    cluster = Cluster(
        name=names.XDS_CLUSTER,
        type=Cluster.STATIC if numeric else Cluster.STRICT_DNS,
        connect_timeout=duration(1),
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": pack(
                HttpProtocolOptions(explicit_http_config=explicit)
            )
        },
        load_assignment=ClusterLoadAssignment(
            cluster_name=names.XDS_CLUSTER,
            endpoints=[LocalityLbEndpoints(lb_endpoints=[_endpoint(*server) for server in options.servers])],
        ),
    )
    if options.tls is not None:
        cluster.transport_socket.CopyFrom(_channel_socket(options.tls))
    return cluster


def _channel_socket(tls: ChannelTls) -> TransportSocket:
    name = SanMatcher(san_type=SanMatcher.DNS, matcher=StringMatcher(exact=tls.server_name))
    if _is_ip(tls.server_name):
        name.san_type = SanMatcher.IP_ADDRESS
    common = CommonTlsContext(
        alpn_protocols=["h2"],
        validation_context=CertificateValidationContext(
            trusted_ca=DataSource(filename=tls.ca_file), match_typed_subject_alt_names=[name]
        ),
    )
    if tls.cert_file:
        common.tls_certificates.append(
            TlsCertificate(
                certificate_chain=DataSource(filename=tls.cert_file),
                private_key=DataSource(filename=tls.key_file),
            )
        )
    context = UpstreamTlsContext(common_tls_context=common)
    if not _is_ip(tls.server_name):
        context.sni = tls.server_name
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


def _endpoint(host: str, port: int) -> LbEndpoint:
    return LbEndpoint(endpoint=Endpoint(address=_address(host, port)))


def _address(host: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
