from dataclasses import replace
from typing import Any

import pytest
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from hypothesis import given, settings
from hypothesis import strategies as st

from xds_server.model.catalog import Instance, Locality, Service, Status, Weights
from xds_server.model.policy import EndpointPolicy, Hostnames, OnWarning, ServicePolicy
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.endpoints import assignment
from xds_server.translate.meaning import ClusterSpec, Pick
from xds_server.translate.places import Places
from xds_server.translate.render import unpack

PLACES = Places(own="dc1", others=("dc2", "dc3"))
PLAIN = ServicePolicy()
RULES = EndpointRules(EndpointPolicy())
HEALTHY, UNHEALTHY, DEGRADED = HealthStatus.HEALTHY, HealthStatus.UNHEALTHY, HealthStatus.DEGRADED


def instance(number: int, *, status: Status | None = None, **fields: Any) -> Instance:
    statuses = (status,) if status else ()
    given = {"address": f"10.0.0.{number}", "port": 80, "datacenter": "dc1", **fields}
    return Instance(node=f"n{number}", id=f"i{number}", statuses=statuses, **given)


def made(
    *picks: Pick, policy: ServicePolicy = PLAIN, places: Places = PLACES, **services: list[Instance]
) -> tuple[ClusterLoadAssignment, tuple[Problem, ...]]:
    spec = ClusterSpec(name="c", policy=policy, picks=picks or tuple(Pick(service=name) for name in services))
    found = [Service.of(pick.service, services.get(pick.service, [])) for pick in spec.picks]
    draft, problems = assignment(spec, found, RULES, places)
    message = unpack(TypeUrl.ENDPOINTS, draft.packed)
    assert isinstance(message, ClusterLoadAssignment)
    assert draft.name == message.cluster_name == "c"
    return message, problems


def levels(message: ClusterLoadAssignment) -> list[list[str]]:
    """Give the `host:port` of each priority, which have to follow each other from 0 on."""
    found: dict[int, list[str]] = {}
    for locality in message.endpoints:
        for endpoint in locality.lb_endpoints:
            socket = endpoint.endpoint.address.socket_address
            found.setdefault(locality.priority, []).append(f"{socket.address}:{socket.port_value}")
    assert list(found) == list(range(len(found)))
    return [found[priority] for priority in sorted(found)]


def states(message: ClusterLoadAssignment) -> list[int]:
    return [one.health_status for locality in message.endpoints for one in locality.lb_endpoints]


# --- priorities ------------------------------------------------------------------------------------------


def test_one_pick_of_one_datacenter_is_one_priority_with_envoys_own_factor() -> None:
    message, _ = made(web=[instance(1), instance(2)])

    assert levels(message) == [["10.0.0.1:80", "10.0.0.2:80"]]
    assert not message.HasField("policy")


def test_each_further_pick_takes_over_only_when_none_before_it_is_healthy() -> None:
    message, problems = made(web=[instance(1)], spare=[instance(2)], last=[instance(3)])

    assert levels(message) == [["10.0.0.1:80"], ["10.0.0.2:80"], ["10.0.0.3:80"]]
    assert message.policy.overprovisioning_factor.value == 100_000
    assert problems == ()


def test_a_pick_without_instances_leaves_no_gap() -> None:
    message, _ = made(Pick(service="gone"), Pick(service="web"), web=[instance(1)])

    assert levels(message) == [["10.0.0.1:80"]]
    assert not message.HasField("policy")


def test_other_datacenters_come_after_ours_in_the_operators_order() -> None:
    far = [
        instance(3, datacenter="dc3"),
        instance(2, datacenter="dc2"),
        instance(1),
        instance(4, datacenter=""),
    ]

    message, _ = made(web=far)

    assert levels(message) == [["10.0.0.1:80", "10.0.0.4:80"], ["10.0.0.2:80"], ["10.0.0.3:80"]]


def test_every_datacenter_of_a_pick_comes_before_the_next_pick() -> None:
    message, _ = made(web=[instance(1), instance(2, datacenter="dc2")], spare=[instance(3)])

    assert levels(message) == [["10.0.0.1:80"], ["10.0.0.2:80"], ["10.0.0.3:80"]]


def test_a_pick_of_a_datacenter_takes_the_instances_there_alone() -> None:
    here_and_there = [instance(1), instance(2, datacenter="dc2"), instance(3, datacenter="")]

    there, _ = made(Pick(service="web", datacenter="dc2"), web=here_and_there)
    here, _ = made(Pick(service="web", datacenter="dc1"), web=here_and_there)

    assert levels(there) == [["10.0.0.2:80"]]
    assert levels(here) == [["10.0.0.1:80", "10.0.0.3:80"]]


@pytest.mark.parametrize(
    ("tagged", "where"),
    [
        ((("wan", "203.0.113.1", 8443),), "203.0.113.1:8443"),
        ((("lan", "10.9.9.9", 1), ("wan", "203.0.113.1", 0)), "203.0.113.1:80"),
        ((("wan", "", 0),), "10.0.0.2:80"),
        ((("wan_ipv4", "203.0.113.1", 1),), "10.0.0.2:80"),
        ((), "10.0.0.2:80"),
    ],
)
def test_another_datacenter_is_reached_by_the_wan_address(tagged: Any, where: str) -> None:
    message, _ = made(
        web=[instance(1, tagged=(("wan", "203.0.113.9", 9),)), instance(2, datacenter="dc2", tagged=tagged)]
    )

    assert levels(message) == [["10.0.0.1:80"], [where]]


def test_the_wan_address_has_to_pass_the_rules() -> None:
    message, problems = made(
        web=[instance(2, datacenter="dc2", tagged=(("wan", "169.254.169.254", 80),)), instance(1)]
    )

    assert levels(message) == [["10.0.0.1:80"]]
    assert [problem.code for problem in problems] == [Code.ENDPOINT_ADDRESS_DENIED]
    assert problems[0].source == "service 'web' instance 'i2' on node 'n2' in datacenter 'dc2'"


def test_instances_of_a_lost_datacenter_are_unhealthy() -> None:
    message, _ = made(
        web=[instance(1), instance(2, datacenter="dc2")], places=replace(PLACES, lost=frozenset({"dc2"}))
    )

    assert states(message) == [HEALTHY, UNHEALTHY]


def test_localities_are_told_for_each_priority() -> None:
    here, there = Locality(region="eu", zone="a"), Locality(region="us", zone="b")

    message, _ = made(
        web=[
            instance(1, locality=here),
            instance(2, locality=there),
            instance(3, datacenter="dc2", locality=here),
        ]
    )

    told = [(one.locality.region, one.priority, one.load_balancing_weight.value) for one in message.endpoints]
    assert told == [("eu", 0, 1), ("us", 0, 1), ("eu", 1, 1)]


# --- which instances a pick has ---------------------------------------------------------------------------


def test_a_named_port_is_used_and_instances_without_it_are_left_out() -> None:
    several = instance(1, ports=(("http", 80), ("metrics", 9090)))
    there = instance(3, datacenter="dc2", ports=(("metrics", 9191),), tagged=(("wan", "203.0.113.1", 443),))

    message, problems = made(Pick(service="web", port="metrics"), web=[several, instance(2), there])

    assert levels(message) == [["10.0.0.1:9090"], ["203.0.113.1:9191"]]
    assert problems == ()


def test_a_bad_named_port_is_a_problem() -> None:
    message, problems = made(
        Pick(service="web", port="metrics"), web=[instance(1, ports=(("metrics", 70_000),))]
    )

    assert levels(message) == []
    assert [problem.code for problem in problems] == [Code.ENDPOINT_PORT]


def test_a_filter_chooses_instances() -> None:
    message, problems = made(
        Pick(service="web", filter='Service.Meta.version == "v2"'),
        web=[instance(1, meta=(("version", "v1"),)), instance(2, meta=(("version", "v2"),)), instance(3)],
    )

    assert (levels(message), problems) == ([["10.0.0.2:80"]], ())


def test_a_filter_that_is_none_takes_no_instance_and_costs_no_other_pick() -> None:
    message, problems = made(
        Pick(service="web", filter="Service.Meta.version = ("),
        Pick(service="spare"),
        web=[instance(1)],
        spare=[instance(2)],
    )

    assert levels(message) == [["10.0.0.2:80"]]
    assert [(problem.code, problem.source) for problem in problems] == [(Code.SUBSET_FILTER, "cluster 'c'")]


@pytest.mark.parametrize(
    ("status", "expected"), [(None, HEALTHY), (Status.WARNING, UNHEALTHY), (Status.CRITICAL, UNHEALTHY)]
)
def test_only_passing_takes_a_warning_for_unhealthy(status: Status | None, expected: int) -> None:
    message, _ = made(Pick(service="web", only_passing=True), web=[instance(1, status=status)])

    assert states(message) == [expected]


def test_a_warning_degrades_where_that_is_set() -> None:
    policy = ServicePolicy(on_warning=OnWarning.DEGRADED)
    weights = Weights(passing=5, warning=3)

    message, _ = made(
        policy=policy,
        web=[
            instance(1, weights=weights),
            instance(2, weights=weights, status=Status.WARNING),
            instance(3, weights=weights, status=Status.CRITICAL),
            instance(4, weights=Weights(warning=0), status=Status.WARNING),
        ],
    )

    assert states(message) == [HEALTHY, DEGRADED, UNHEALTHY, UNHEALTHY]
    assert [one.load_balancing_weight.value for one in message.endpoints[0].lb_endpoints] == [5, 3, 5, 1]


# --- duplicates -------------------------------------------------------------------------------------------


def test_an_address_is_listed_once_over_all_picks() -> None:
    message, problems = made(web=[instance(1)], spare=[instance(1), instance(2)])

    assert levels(message) == [["10.0.0.1:80"], ["10.0.0.2:80"]]
    assert [(problem.code, problem.source) for problem in problems] == [
        (Code.ENDPOINT_DUPLICATE, "service 'spare' instance 'i1' on node 'n1'")
    ]


def test_of_two_with_one_address_the_nearer_stays() -> None:
    far = Instance(node="a", id="far", address="10.0.0.1", port=80, datacenter="dc2")

    message, problems = made(web=[far, instance(1)])

    assert levels(message) == [["10.0.0.1:80"]]
    assert problems[0].source == "service 'web' instance 'far' on node 'a' in datacenter 'dc2'"


def test_an_instance_that_several_picks_have_is_no_duplicate() -> None:
    warning = instance(1, status=Status.WARNING)
    both = {"web": [warning, instance(2)]}

    message, problems = made(Pick(service="web", only_passing=True), Pick(service="web"), **both)

    # Where it takes no traffic in the first place, the second one counts.
    assert levels(message) == [["10.0.0.2:80"], ["10.0.0.1:80"]]
    assert states(message) == [HEALTHY, HEALTHY]
    assert problems == ()


# --- whatever is registered -------------------------------------------------------------------------------

_ADDRESSES = st.sampled_from(
    [
        "10.0.0.1",
        "10.0.0.2",
        "::ffff:10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "a.example.com",
        "localhost",
        "",
    ]
)
_PORTS = st.sampled_from([80, 81, 0, -1, 70_000])


@st.composite
def _any_instance(draw: st.DrawFn, number: int) -> Instance:
    return Instance(
        node="n",
        id=f"i{number}",
        address=draw(_ADDRESSES),
        port=draw(_PORTS),
        tagged=tuple(("wan", draw(_ADDRESSES), draw(_PORTS)) for _ in range(draw(st.integers(0, 1)))),
        ports=tuple((name, draw(_PORTS)) for name in draw(st.sets(st.sampled_from("ab")))),
        weights=Weights(passing=draw(st.integers(-1, 70_000)), warning=draw(st.integers(-1, 70_000))),
        statuses=tuple(sorted(draw(st.sets(st.sampled_from(Status), max_size=2)))),
        datacenter=draw(st.sampled_from(["", "dc1", "dc2", "dc9"])),
    )


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_registered_envoy_is_told_nothing_that_it_would_refuse(data: st.DataObject) -> None:
    services = {
        name: [data.draw(_any_instance(number)) for number in range(data.draw(st.integers(0, 5)))]
        for name in ("web", "spare")
    }
    picks = [
        Pick(
            service=data.draw(st.sampled_from(["web", "spare", "gone"])),
            port=data.draw(st.sampled_from(["", "", "a"])),
            datacenter=data.draw(st.sampled_from(["", "", "dc2"])),
            only_passing=data.draw(st.booleans()),
        )
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    policy = ServicePolicy(hostnames=data.draw(st.sampled_from(Hostnames)))

    message, _ = made(*picks, policy=policy, **services)

    found = [host for level in levels(message) for host in level]
    assert len(found) == len(set(found))
    assert not [host for host in found if host.startswith(("127.", "169.", "localhost", ":"))]
    assert policy.hostnames is Hostnames.RESOLVE or not [host for host in found if host.startswith("a.")]
    for locality in message.endpoints:
        weights = [one.load_balancing_weight.value for one in locality.lb_endpoints]
        assert all(1 <= weight <= 65_535 for weight in weights)
        assert locality.load_balancing_weight.value == sum(weights) < 2**32
    assert all(0 < int(host.rpartition(":")[2]) < 65_536 for host in found)
