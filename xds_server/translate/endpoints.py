"""A service's instances as a ClusterLoadAssignment.

Weights and health follow Consul's own rule (`calculateEndpointHealthAndWeight`): the weight while passing,
the weight while warning, any critical check makes the endpoint UNHEALTHY, and a weight below 1 takes it out
of rotation. Unlike Consul's, the weight is not cut to 128. An unhealthy instance stays listed: unhealthy is a
state, and Envoy's panic threshold decides what it means when no other is left.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import Locality as EnvoyLocality
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.model.catalog import Instance, Locality, Service, Status
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.translate import names
from xds_server.translate.addresses import EndpointRules, Refusal
from xds_server.translate.packing import Draft, draft

# Consul's agent refuses more; its catalog does not. The sum over a locality has to stay below 2^32.
MAX_WEIGHT: Final = 65_535

_OUT_OF_ROTATION: Final = frozenset({Status.CRITICAL, Status.MAINTENANCE})


@dataclass(frozen=True, slots=True)
class _Target:
    """An endpoint that passed the rules."""

    address: str
    port: int
    instance: Instance


def assignment(service: Service, rules: EndpointRules) -> tuple[Draft, tuple[Problem, ...]]:
    """Give the ClusterLoadAssignment of a service and why any of its instances was left out.

    A service without a usable instance gets an explicit empty assignment, so that no cluster waits in warming
    (xDS protocol, "Resource warming").
    """
    message, problems = load_assignment(service, rules)
    return draft(TypeUrl.ENDPOINTS, message.cluster_name, message), problems


def load_assignment(
    service: Service, rules: EndpointRules
) -> tuple[ClusterLoadAssignment, tuple[Problem, ...]]:
    """Give the same as a message, localities and endpoints in sorted order."""
    targets, problems = _usable(service, rules)
    by_locality: defaultdict[Locality, list[_Target]] = defaultdict(list)
    for target in targets:
        by_locality[target.instance.locality].append(target)
    message = ClusterLoadAssignment(
        cluster_name=names.cluster(service.name),
        endpoints=[_locality(locality, by_locality[locality]) for locality in sorted(by_locality)],
    )
    return message, problems


def _usable(service: Service, rules: EndpointRules) -> tuple[list[_Target], tuple[Problem, ...]]:
    targets: dict[tuple[str, int], _Target] = {}
    problems: list[Problem] = []
    for instance in service.instances:
        checked = rules.check(instance.address, instance.port)
        if isinstance(checked, Refusal):
            sentence = f"address {_quoted(instance.address)} {checked.reason}; the endpoint is left out"
            problems.append(_problem(checked.code, service, instance, sentence))
            continue
        key = (checked, instance.port)
        if key in targets:
            other = targets[key].instance
            sentence = (
                f"{checked} port {instance.port} is registered by {_quoted(other.id)} on node "
                f"{_quoted(other.node)} already; it is listed once"
            )
            problems.append(_problem(Code.ENDPOINT_DUPLICATE, service, instance, sentence))
            continue
        if max(instance.weights.passing, instance.weights.warning) > MAX_WEIGHT:
            sentence = f"a weight above {MAX_WEIGHT} is taken as {MAX_WEIGHT}"
            problems.append(_problem(Code.ENDPOINT_WEIGHT, service, instance, sentence))
        targets[key] = _Target(checked, instance.port, instance)
    return [targets[key] for key in sorted(targets)], tuple(problems)


def _locality(locality: Locality, targets: Iterable[_Target]) -> LocalityLbEndpoints:
    endpoints = [_endpoint(target) for target in targets]
    total = sum(endpoint.load_balancing_weight.value for endpoint in endpoints)
    return LocalityLbEndpoints(
        locality=EnvoyLocality(region=locality.region, zone=locality.zone, sub_zone=locality.sub_zone),
        lb_endpoints=endpoints,
        # gRPC clients skip a locality without a weight (gRFC A27); Envoy reads it only when asked to.
        load_balancing_weight=UInt32Value(value=total),
    )


def _endpoint(target: _Target) -> LbEndpoint:
    weight, status = weight_and_health(target.instance)
    socket = SocketAddress(address=target.address, port_value=target.port)
    return LbEndpoint(
        endpoint=Endpoint(address=Address(socket_address=socket)),
        health_status=status,
        load_balancing_weight=UInt32Value(value=weight),
    )


def weight_and_health(instance: Instance) -> tuple[int, HealthStatus]:
    """Give an instance's weight (1 to 65,535) and its Envoy health status."""
    statuses = {check.status for check in instance.checks}
    weight = instance.weights.warning if Status.WARNING in statuses else instance.weights.passing
    if weight < 1 or statuses & _OUT_OF_ROTATION:
        return min(max(weight, 1), MAX_WEIGHT), HealthStatus.UNHEALTHY
    return min(weight, MAX_WEIGHT), HealthStatus.HEALTHY


def _problem(code: Code, service: Service, instance: Instance, sentence: str) -> Problem:
    source = (
        f"service {_quoted(service.name)} instance {_quoted(instance.id)} on node {_quoted(instance.node)}"
    )
    return Problem(code=code, source=source, sentence=sentence, index=instance.index)


def _quoted(text: str) -> str:
    """Show hostile text: escaped, and cut to what fits a line."""
    return ascii(text[:80])
