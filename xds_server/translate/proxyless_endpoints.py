"""A service's instances as gRPC clients understand weights and health.

gRPC balances by the weights of localities, and does not read those of endpoints (gRFC A27, "EDS"; seen with
gRPC C-core 1.85: two endpoints weighing 1 and 3 in one locality got half of the calls each). So a locality
whose endpoints differ in weight is given as several, one for each weight. A ring does read them, but
multiplies them by the weight of the locality (gRFC A42); for it all endpoints are in one.

gRPC takes no unhealthy endpoint and knows no panic threshold, so what Envoy would do is done here.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.catalog import Service
from xds_server.model.policy import ServicePolicy
from xds_server.model.problem import Problem
from xds_server.model.types import TypeUrl
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.endpoints import load_assignment
from xds_server.translate.packing import Draft, draft
from xds_server.translate.proxyless_clusters import HASHED


def assignment(
    service: Service, policy: ServicePolicy, rules: EndpointRules
) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the ClusterLoadAssignment of a service for gRPC clients, and why any instance was left out."""
    message, problems = load_assignment(service, rules)
    localities = _in_rotation(message.endpoints, policy.panic_threshold)
    split = _ring(localities) if policy.lb_policy in HASHED else _by_weight(localities)
    fitted = ClusterLoadAssignment(cluster_name=message.cluster_name, endpoints=split)
    return draft(TypeUrl.ENDPOINTS, message.cluster_name, fitted), problems


def _in_rotation(
    localities: Iterable[LocalityLbEndpoints], panic_threshold: int
) -> list[tuple[Locality, list[LbEndpoint]]]:
    """Give the endpoints that take traffic: the healthy ones, or all where too few are (Envoy, "Panic")."""
    listed = [(group.locality, list(group.lb_endpoints)) for group in localities]
    total = sum(len(endpoints) for _, endpoints in listed)
    healthy = [(locality, [one for one in endpoints if _is_healthy(one)]) for locality, endpoints in listed]
    if 100 * sum(len(endpoints) for _, endpoints in healthy) >= panic_threshold * total:
        return [(locality, endpoints) for locality, endpoints in healthy if endpoints]
    for _, endpoints in listed:
        for endpoint in endpoints:
            endpoint.health_status = HealthStatus.HEALTHY
    return listed


def _is_healthy(endpoint: LbEndpoint) -> bool:
    return endpoint.health_status == HealthStatus.HEALTHY


def _ring(localities: Iterable[tuple[Locality, list[LbEndpoint]]]) -> Iterator[LocalityLbEndpoints]:
    endpoints = [endpoint for _, group in localities for endpoint in group]
    if endpoints:
        yield _locality(Locality(), endpoints)


def _by_weight(localities: Iterable[tuple[Locality, list[LbEndpoint]]]) -> Iterator[LocalityLbEndpoints]:
    for locality, endpoints in localities:
        weighing: defaultdict[int, list[LbEndpoint]] = defaultdict(list)
        for endpoint in endpoints:
            weighing[endpoint.load_balancing_weight.value].append(endpoint)
        if len(weighing) == 1:
            yield _locality(locality, endpoints)
            continue
        for weight in sorted(weighing):
            # Two localities must not have the same name (gRFC A27).
            sub_zone = f"{locality.sub_zone}/weight-{weight}".lstrip("/")
            part = Locality(region=locality.region, zone=locality.zone, sub_zone=sub_zone)
            yield _locality(part, weighing[weight])


def _locality(locality: Locality, endpoints: list[LbEndpoint]) -> LocalityLbEndpoints:
    total = sum(endpoint.load_balancing_weight.value for endpoint in endpoints)
    return LocalityLbEndpoints(
        locality=locality, lb_endpoints=endpoints, load_balancing_weight=UInt32Value(value=total)
    )
