"""A service as an Envoy cluster: how its instances are reached, balanced and watched."""

from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers as EnvoyCircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.clusters.common.dns.v3.dns_pb2 import V4_PREFERRED
from envoy.extensions.clusters.dns.v3.dns_cluster_pb2 import DnsCluster
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.v3.percent_pb2 import Percent
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value, UInt64Value

from xds_server.model.policy import LbPolicy, Protocol, ServicePolicy
from xds_server.model.types import TypeUrl
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.outlier import outlier_detection
from xds_server.translate.packing import Draft, Reference, draft, duration, encoded, pack
from xds_server.translate.sources import ADS
from xds_server.translate.tls import upstream_references, upstream_socket
from xds_server.translate.wire import framed

_LB_POLICY: Final = {
    LbPolicy.ROUND_ROBIN: Cluster.ROUND_ROBIN,
    LbPolicy.RANDOM: Cluster.RANDOM,
    LbPolicy.LEAST_REQUEST: Cluster.LEAST_REQUEST,
    LbPolicy.RING_HASH: Cluster.RING_HASH,
    LbPolicy.MAGLEV: Cluster.MAGLEV,
}

_NAME: Final = b"\x0a"
"""The tag of `Cluster.name`, the first field of it."""

_REMEMBERED: Final = 1024

# Envoy's bounds and default (config.cluster.v3.Cluster.RingHashLbConfig, LeastRequestLbConfig).
_LARGEST_RING: Final = 8 * 1024 * 1024
_ENVOY_LEAST_RING: Final = 1024
_LEAST_CHOICES: Final = 2

# One host for each address of each name (Envoy, "Strict DNS"). A name without an IPv4 address is looked up
# for IPv6: the other way round, a proxy without IPv6 would be given addresses that it cannot reach. Consul's
# own DNS gives a TTL of 0, which means the refresh rate.
_DNS: Final = Cluster.CustomClusterType(
    name="envoy.cluster.dns",
    typed_config=pack(
        DnsCluster(
            dns_refresh_rate=duration(10),
            respect_dns_ttl=True,
            dns_lookup_family=V4_PREFERRED,
        )
    ),
)

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


def cluster(spec: ClusterSpec) -> Draft:
    """Give the cluster that is specified; its endpoints come by EDS under the same name."""
    references = (Reference(TypeUrl.ENDPOINTS, spec.name), *_tls_references(spec.policy))
    content = framed(_NAME, spec.name.encode()) + _eds_cluster(spec.policy)
    return encoded(TypeUrl.CLUSTER, spec.name, content, references)


def dns_cluster(spec: ClusterSpec, assignment: ClusterLoadAssignment) -> Draft:
    """Give the same with its endpoints in it, some of which have host names that Envoy resolves."""
    message = _cluster(spec.policy)
    message.name = spec.name
    message.cluster_type.CopyFrom(_DNS)
    message.load_assignment.CopyFrom(assignment)
    return draft(TypeUrl.CLUSTER, spec.name, message, _tls_references(spec.policy))


@lru_cache(maxsize=_REMEMBERED)
def _eds_cluster(policy: ServicePolicy) -> bytes:
    """Give a cluster without its name, serialised: those of most services differ in nothing else."""
    message = _cluster(policy)
    message.type = Cluster.EDS
    message.eds_cluster_config.eds_config.CopyFrom(ADS)
    return message.SerializeToString(deterministic=True)


def _cluster(policy: ServicePolicy) -> Cluster:
    message = Cluster(
        connect_timeout=duration(policy.connect_timeout),
        lb_policy=_LB_POLICY[policy.lb_policy],
        # Envoy's default of 1 s holds ejections, health and weight changes back; bursts are coalesced here.
        common_lb_config=Cluster.CommonLbConfig(
            update_merge_window=Duration(),
            healthy_panic_threshold=Percent(value=policy.panic_threshold),
        ),
        typed_extension_protocol_options=_PROTOCOL_OPTIONS[policy.protocol],
        circuit_breakers=_circuit_breakers(policy),
    )
    if (ring := ring_size(policy)) is not None:
        message.ring_hash_lb_config.CopyFrom(ring)
    if (choices := choice_count(policy)) is not None:
        message.least_request_lb_config.choice_count.CopyFrom(choices)
    if policy.outlier_detection is not None:
        message.outlier_detection.CopyFrom(outlier_detection(policy.outlier_detection))
    if policy.tls is not None:
        message.transport_socket.CopyFrom(upstream_socket(policy.tls, policy.protocol))
    return message


def _tls_references(policy: ServicePolicy) -> tuple[Reference, ...]:
    return upstream_references(policy.tls) if policy.tls else ()


def choice_count(policy: ServicePolicy) -> UInt32Value | None:
    """Give how many instances least request compares, within what Envoy takes; None leaves it to Envoy."""
    if policy.lb_policy is not LbPolicy.LEAST_REQUEST or policy.choices is None:
        return None
    return UInt32Value(value=max(_LEAST_CHOICES, policy.choices))


def ring_size(policy: ServicePolicy) -> Cluster.RingHashLbConfig | None:
    """Give the size of a ring, within what Envoy takes: it may come from Consul. None leaves it to Envoy."""
    least, most = policy.ring_size
    if policy.lb_policy is not LbPolicy.RING_HASH or (least, most) == (None, None):
        return None
    bound = _LARGEST_RING if most is None else min(max(most, 1), _LARGEST_RING)
    return Cluster.RingHashLbConfig(
        maximum_ring_size=UInt64Value(value=bound),
        minimum_ring_size=UInt64Value(
            value=min(_ENVOY_LEAST_RING if least is None else max(least, 1), bound)
        ),
    )


def _circuit_breakers(policy: ServicePolicy) -> EnvoyCircuitBreakers | None:
    """Give the thresholds of the default priority, or nothing where all are Envoy's defaults.

    What is not HTTP takes no HTTP request, whatever route finds it by its name: connections of a TCP proxy
    are not counted as requests (decision 0024).
    """
    asked = policy.circuit_breakers
    limits = {field.name: getattr(asked, field.name) for field in fields(asked)}
    if policy.protocol is Protocol.TCP:
        limits["max_requests"] = 0
    given: dict[str, Any] = {
        name: UInt32Value(value=value) for name, value in limits.items() if value is not None
    }
    return EnvoyCircuitBreakers(thresholds=[EnvoyCircuitBreakers.Thresholds(**given)]) if given else None
