from dataclasses import replace
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.clusters.dns.v3.dns_cluster_pb2 import DnsCluster

from xds_server.model.catalog import Instance, Service, Status
from xds_server.model.policy import EndpointPolicy, Hostnames, LbPolicy, ServicePolicy, UpstreamTls
from xds_server.model.types import TypeUrl
from xds_server.translate import clusters, proxyless_clusters, resolved
from xds_server.translate.addresses import EndpointRules
from xds_server.translate.meaning import ClusterSpec, Pick
from xds_server.translate.packing import Draft, Reference
from xds_server.translate.places import Places
from xds_server.translate.render import unpack


def message(draft: Draft) -> Cluster:
    found = unpack(TypeUrl.CLUSTER, draft.packed)
    assert isinstance(found, Cluster)
    return found


SPEC = ClusterSpec(name="user", policy=ServicePolicy(), picks=(Pick(service="user"),))


def cluster(**policy: Any) -> Cluster:
    return message(clusters.cluster(replace(SPEC, policy=ServicePolicy(**policy))))


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ((2048, 4096), 2048, 4096),
        ((2048, None), 2048, 8_388_608),
        # Envoy's own least is 1,024, and it refuses a cluster whose least is more than its most.
        ((None, 512), 512, 512),
        ((None, 2048), 1024, 2048),
        # From Consul there might come anything.
        ((0, 0), 1, 1),
        ((9, 3), 3, 3),
        ((2**64, 2**64), 8_388_608, 8_388_608),
        ((-5, None), 1, 8_388_608),
    ],
)
def test_the_size_of_a_ring_is_one_that_envoy_takes(asked: Any, least: int, most: int) -> None:
    ring = cluster(lb_policy=LbPolicy.RING_HASH, ring_size=asked).ring_hash_lb_config

    assert (ring.minimum_ring_size.value, ring.maximum_ring_size.value) == (least, most)


@pytest.mark.parametrize(("asked", "given"), [(2, 2), (5, 5), (0, 2), (-1, 2)])
def test_the_choices_of_least_request_are_some_that_envoy_takes(asked: int, given: int) -> None:
    made = cluster(lb_policy=LbPolicy.LEAST_REQUEST, choices=asked)

    assert made.least_request_lb_config.choice_count.value == given


def test_what_belongs_to_another_balancer_is_left_out() -> None:
    for policy in LbPolicy:
        made = cluster(lb_policy=policy, ring_size=(1, 2), choices=3)

        assert made.HasField("ring_hash_lb_config") == (policy is LbPolicy.RING_HASH)
        assert made.HasField("least_request_lb_config") == (policy is LbPolicy.LEAST_REQUEST)
    assert cluster(lb_policy=LbPolicy.RING_HASH).WhichOneof("lb_config") is None


def test_grpc_clients_are_told_the_same() -> None:
    ring = ServicePolicy(lb_policy=LbPolicy.RING_HASH, ring_size=(16, 32))
    least = ServicePolicy(lb_policy=LbPolicy.LEAST_REQUEST, choices=4)

    made = message(proxyless_clusters.cluster(replace(SPEC, policy=ring)))

    assert made.ring_hash_lb_config.minimum_ring_size.value == 16
    # `{4}` is field 1, a wrapped 4, of LeastRequest, somewhere inside.
    assert (
        b"LeastRequest\x12\x04\x0a\x02\x08\x04"
        in proxyless_clusters.cluster(replace(SPEC, policy=least)).packed
    )


# --- host names ------------------------------------------------------------------------------------------


def resolve(*addresses: str, **policy: Any) -> tuple[tuple[Draft, ...], list[str]]:
    return made_of(
        *(Instance(node="n", id=str(number), address=one, port=80) for number, one in enumerate(addresses)),
        **policy,
    )


def listed(*instances: Instance) -> list[str]:
    (draft,), _ = made_of(*instances)
    return [
        one.endpoint.address.socket_address.address
        for locality in message(draft).load_assignment.endpoints
        for one in locality.lb_endpoints
    ]


def made_of(*instances: Instance, **policy: Any) -> tuple[tuple[Draft, ...], list[str]]:
    spec = ClusterSpec(
        name="user",
        policy=ServicePolicy(hostnames=Hostnames.RESOLVE, **policy),
        picks=(Pick(service="user"),),
    )
    drafts, problems = resolved.cluster(
        spec, [Service.of("user", instances)], EndpointRules(EndpointPolicy()), Places(own="dc1")
    )
    return drafts, [problem.code for problem in problems]


def test_without_a_host_name_the_endpoints_come_by_eds() -> None:
    drafts, _ = resolve("10.0.0.1")

    assert [draft.type for draft in drafts] == [TypeUrl.CLUSTER, TypeUrl.ENDPOINTS]
    assert message(drafts[0]).type == Cluster.EDS
    assert drafts[0].references == (Reference(TypeUrl.ENDPOINTS, "user"),)


def test_with_a_host_name_the_cluster_holds_its_endpoints_itself() -> None:
    (draft,), problems = resolve("10.0.0.1", "a.example.com", "169.254.169.254", "metadata")

    made = message(draft)
    hosts = [
        one.endpoint.address.socket_address.address
        for locality in made.load_assignment.endpoints
        for one in locality.lb_endpoints
    ]
    options = DnsCluster.FromString(made.cluster_type.typed_config.value)
    assert hosts == ["10.0.0.1", "a.example.com"]
    assert problems == ["endpoint-address-denied"] * 2
    assert not made.HasField("eds_cluster_config")
    assert draft.references == ()
    assert (options.respect_dns_ttl, options.dns_refresh_rate.seconds) == (True, 10)


def test_the_sick_are_left_out_of_a_cluster_that_is_used_before_its_names_are_resolved() -> None:
    critical = (Status.CRITICAL,)
    sick = Instance(node="n", id="sick", address="10.0.0.1", port=80, statuses=critical)
    fine = Instance(node="n", id="fine", address="10.0.0.2", port=80)
    named = Instance(node="n", id="named", address="a.example.com", port=80)

    assert listed(sick, fine, named) == ["10.0.0.2", "a.example.com"]
    # Where no name takes traffic, nothing is gained.
    assert listed(sick, replace(named, statuses=critical)) == ["10.0.0.1", "a.example.com"]


def test_a_cluster_with_host_names_keeps_its_secrets() -> None:
    (draft,), _ = resolve("a.example.com", tls=UpstreamTls(ca="ca", sans=("a.example.com",)))

    assert [reference.type for reference in draft.references] == [TypeUrl.SECRET]
