"""A service as the cluster of gRPC clients: only what they read, and nothing that they refuse.

A gRPC client takes a cluster whole or not at all (gRFC A27, "CDS"), and refuses the ones with a load
balancing policy that it does not know. It speaks HTTP/2 to every instance, whatever the cluster says.
"""

from typing import Final

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster, LoadBalancingPolicy
from envoy.config.core.v3.config_source_pb2 import ConfigSource, SelfConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2 import LeastRequest
from envoy.extensions.load_balancing_policies.round_robin.v3.round_robin_pb2 import RoundRobin
from envoy.extensions.load_balancing_policies.wrr_locality.v3.wrr_locality_pb2 import WrrLocality
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.policy import LbPolicy, ServicePolicy
from xds_server.model.types import TypeUrl
from xds_server.translate.clusters import choice_count, ring_size
from xds_server.translate.meaning import ClusterSpec
from xds_server.translate.outlier import outlier_detection
from xds_server.translate.packing import Draft, Reference, draft, pack
from xds_server.translate.sources import ADS

HASHED: Final = frozenset({LbPolicy.RING_HASH, LbPolicy.MAGLEV})
"""The policies that send the same hash to the same instance; gRPC has the ring only (gRFC A42)."""

_REPORTS: Final = ConfigSource(self=SelfConfigSource())


def cluster(spec: ClusterSpec) -> Draft:
    """Give the cluster that is specified for gRPC clients; its endpoints come by EDS under the same name.

    Of the circuit breakers gRPC knows `max_requests` (gRFC A32), of outlier detection success rate and
    failure percentage (gRFC A50); other fields of the latter it ignores. Load is reported to this server
    (gRFC A27, "LRS"). Random balancing, which gRPC does not have, becomes round robin.
    """
    name, policy = spec.name, spec.policy
    message = Cluster(
        name=name,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(eds_config=ADS),
        lb_policy=Cluster.RING_HASH if policy.lb_policy in HASHED else Cluster.ROUND_ROBIN,
        lrs_server=_REPORTS,
    )
    if policy.lb_policy is LbPolicy.LEAST_REQUEST:
        message.load_balancing_policy.CopyFrom(_least_request(policy))
    if (ring := ring_size(policy)) is not None:
        message.ring_hash_lb_config.CopyFrom(ring)
    if policy.circuit_breakers.max_requests is not None:
        limit = UInt32Value(value=policy.circuit_breakers.max_requests)
        message.circuit_breakers.thresholds.append(CircuitBreakers.Thresholds(max_requests=limit))
    if policy.outlier_detection is not None:
        message.outlier_detection.CopyFrom(outlier_detection(policy.outlier_detection))
    return draft(TypeUrl.CLUSTER, name, message, (Reference(TypeUrl.ENDPOINTS, name),))


def _least_request(policy: ServicePolicy) -> LoadBalancingPolicy:
    """Ask for least request, which Java and Go know and C-core does not (gRFC A48)."""
    least = LeastRequest(choice_count=choice_count(policy))
    return _listed(WrrLocality(endpoint_picking_policy=_listed(least, RoundRobin())))


def _listed(*policies: Message) -> LoadBalancingPolicy:
    """List policies in the order of preference: a client takes the first it knows (gRFC A52)."""
    return LoadBalancingPolicy(
        policies=[
            LoadBalancingPolicy.Policy(
                typed_extension_config=TypedExtensionConfig(
                    name=policy.DESCRIPTOR.full_name, typed_config=pack(policy)
                )
            )
            for policy in policies
        ]
    )
