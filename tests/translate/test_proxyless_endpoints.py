from typing import Any

from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from xds_server.model.catalog import Instance, Service, Status
from xds_server.model.policy import EndpointPolicy, Hostnames, OnWarning, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec, Pick
from xds_server.translate.places import Places
from xds_server.translate.proxyless_endpoints import assignment
from xds_server.translate.render import unpack

PLACES = Places(own="dc1", others=("dc2",))


def instance(number: int, status: Status = Status.PASSING, **fields: Any) -> Instance:
    given = {"address": f"10.0.0.{number}", "port": 80, **fields}
    return Instance(node="n", id=f"i{number}", statuses=(status,), **given)


def levels(*instances: Instance, **policy: Any) -> tuple[list[list[str]], tuple[Problem, ...]]:
    """Give the addresses of each priority; every endpoint has to be one that gRPC takes."""
    spec = ClusterSpec(name="user", policy=ServicePolicy(**policy), picks=(Pick(service="user"),))
    services = (Service.of("user", instances),)
    draft, problems = assignment(spec, services, EndpointRules(EndpointPolicy()), PLACES)
    message = unpack(TypeUrl.ENDPOINTS, draft.packed)
    assert isinstance(message, ClusterLoadAssignment)
    found: dict[int, list[str]] = {}
    for locality in message.endpoints:
        for one in locality.lb_endpoints:
            assert one.health_status == HealthStatus.HEALTHY
            found.setdefault(locality.priority, []).append(one.endpoint.address.socket_address.address)
    assert list(found) == list(range(len(found))), "gRPC refuses a gap"
    return list(found.values()), problems


def test_other_datacenters_take_over() -> None:
    assert levels(instance(1, datacenter="dc2"), instance(2))[0] == [["10.0.0.2"], ["10.0.0.1"]]


def test_a_priority_without_a_healthy_endpoint_leaves_no_gap() -> None:
    assert levels(instance(1, Status.CRITICAL), instance(2, datacenter="dc2"))[0] == [["10.0.0.2"]]


def test_degraded_endpoints_come_after_all_healthy_ones() -> None:
    found, _ = levels(
        instance(1, Status.WARNING),
        instance(2),
        instance(3, datacenter="dc2"),
        on_warning=OnWarning.DEGRADED,
    )

    assert found == [["10.0.0.2"], ["10.0.0.3"], ["10.0.0.1"]]


def test_where_none_is_healthy_anywhere_all_take_traffic() -> None:
    found, _ = levels(instance(1, Status.CRITICAL), instance(2, Status.CRITICAL, datacenter="dc2"))

    assert found == [["10.0.0.1"], ["10.0.0.2"]]


def test_host_names_are_left_out_whatever_the_settings_say() -> None:
    found, problems = levels(instance(1, address="a.example.com"), instance(2), hostnames=Hostnames.RESOLVE)

    assert found == [["10.0.0.2"]]
    assert [problem.code for problem in problems] == [Code.ENDPOINT_ADDRESS]
