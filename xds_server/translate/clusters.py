"""A service as an Envoy cluster: how its instances are reached, balanced and watched."""

from dataclasses import fields
from typing import Any, Final

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers as EnvoyCircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.v3.percent_pb2 import Percent
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.policy import CircuitBreakers, LbPolicy, Protocol, ServicePolicy
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.outlier import outlier_detection
from xds_server.translate.packing import Draft, Reference, draft, duration, pack
from xds_server.translate.sources import ADS
from xds_server.translate.tls import upstream_references, upstream_socket

_LB_POLICY: Final = {
    LbPolicy.ROUND_ROBIN: Cluster.ROUND_ROBIN,
    LbPolicy.RANDOM: Cluster.RANDOM,
    LbPolicy.LEAST_REQUEST: Cluster.LEAST_REQUEST,
    LbPolicy.RING_HASH: Cluster.RING_HASH,
    LbPolicy.MAGLEV: Cluster.MAGLEV,
}

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _http(explicit: HttpProtocolOptions.ExplicitHttpConfig) -> dict[str, AnyMessage]:
    return {_HTTP_OPTIONS: pack(HttpProtocolOptions(explicit_http_config=explicit))}


_HTTP1: Final = _http(HttpProtocolOptions.ExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions()))
_HTTP2: Final = _http(HttpProtocolOptions.ExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions()))

_PROTOCOL_OPTIONS: Final[dict[Protocol, dict[str, AnyMessage]]] = {
    Protocol.HTTP1: _HTTP1,
    Protocol.HTTP2: _HTTP2,
    Protocol.GRPC: _HTTP2,
    Protocol.TCP: {},
}


def cluster(service: str, policy: ServicePolicy) -> Draft:
    """Give the cluster of a service; its endpoints come by EDS under the same name."""
    name = names.cluster(service)
    message = Cluster(
        name=name,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(eds_config=ADS),
        connect_timeout=duration(policy.connect_timeout),
        lb_policy=_LB_POLICY[policy.lb_policy],
        # Envoy's default of 1 s holds ejections, health and weight changes back; bursts are coalesced here.
        common_lb_config=Cluster.CommonLbConfig(
            update_merge_window=Duration(),
            healthy_panic_threshold=Percent(value=policy.panic_threshold),
        ),
        typed_extension_protocol_options=_PROTOCOL_OPTIONS[policy.protocol],
        circuit_breakers=_circuit_breakers(policy.circuit_breakers),
    )
    references = [Reference(TypeUrl.ENDPOINTS, name)]
    if policy.outlier_detection is not None:
        message.outlier_detection.CopyFrom(outlier_detection(policy.outlier_detection))
    if policy.tls is not None:
        message.transport_socket.CopyFrom(upstream_socket(policy.tls, policy.protocol))
        references.extend(upstream_references(policy.tls))
    return draft(TypeUrl.CLUSTER, name, message, tuple(references))


def _circuit_breakers(policy: CircuitBreakers) -> EnvoyCircuitBreakers | None:
    """Give the thresholds of the default priority, or nothing where all are Envoy's defaults."""
    limits = {field.name: getattr(policy, field.name) for field in fields(policy)}
    given: dict[str, Any] = {
        name: UInt32Value(value=value) for name, value in limits.items() if value is not None
    }
    return EnvoyCircuitBreakers(thresholds=[EnvoyCircuitBreakers.Thresholds(**given)]) if given else None
