"""Resources before they are sent: what is taken out of them, what is refused, and what stays in its place."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_components_pb2 import LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.json_format import ParseDict

from tests.rig.drafts import tables
from tests.rig.story import GOLDEN, run_story, stories
from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.snapshot.check import check
from xds_server.snapshot.check.limits import LIMITS, Limit
from xds_server.snapshot.withhold import stands_in
from xds_server.translate import Draft, Reference
from xds_server.translate.packing import draft
from xds_server.translate.render import to_dict, unpack

CDS, EDS, LDS, RDS = TypeUrl.CLUSTER, TypeUrl.ENDPOINTS, TypeUrl.LISTENER, TypeUrl.ROUTES


def endpoint(address: str = "10.0.0.1", port: int = 80, **more) -> dict:
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}, **more}


def assignment(*localities: dict, name: str = "user", **more) -> Draft:
    found = {"cluster_name": name, "endpoints": list(localities), **more}
    return draft(EDS, name, ParseDict(found, ClusterLoadAssignment()))


def of(*endpoints: dict, **more) -> Draft:
    return assignment({"lb_endpoints": list(endpoints)}, **more)


def addresses(made: Draft | None) -> list[str]:
    assert made is not None
    message = unpack(EDS, made.packed)
    return [
        one.endpoint.address.socket_address.address
        for locality in message.endpoints
        for one in locality.lb_endpoints
    ]


def cluster(name: str = "user", **more) -> Draft:
    message = ParseDict({"name": name, **more}, Cluster())
    return draft(CDS, name, message, (Reference(EDS, name),))


def listener(name: str = "edge", address: str = "0.0.0.0", port: int = 80, **more) -> Draft:
    socket = {"socket_address": {"address": address, "port_value": port}}
    return draft(LDS, name, ParseDict({"name": name, "address": socket, **more}, Listener()))


def routes(*hosts: dict, name: str = "edge") -> Draft:
    return draft(RDS, name, ParseDict({"name": name, "virtual_hosts": list(hosts)}, RouteConfiguration()))


def made(*drafts: Draft, previous: Snapshot = EMPTY) -> Snapshot:
    return build(tables(drafts), (), previous, origin=lambda type_url, name: f"origin of {name}")


GOOD: Final = endpoint("10.0.0.9")

# --- endpoints -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (endpoint(load_balancing_weight=0), "load_balancing_weight is 0, less than 1."),
        (endpoint(port=70_000), "endpoint.address.socket_address.port_value is 70000, greater than 65535."),
        (endpoint(port=0), "port 0 is no port to connect to."),
        (endpoint("example.test"), "'example.test' is not an IP address."),
        (endpoint("10.0.0.1\n"), "'10.0.0.1\\n' is not an IP address."),
        (endpoint(" 10.0.0.1"), "' 10.0.0.1' is not an IP address."),
        (endpoint("010.0.0.1"), "'010.0.0.1' is not an IP address."),
        (endpoint("10.0.0.256"), "'10.0.0.256' is not an IP address."),
        (endpoint("10.0.1"), "'10.0.1' is not an IP address."),
        (endpoint("[::1]"), "'[::1]' is not an IP address."),
        (endpoint("fe80::1%eth0"), "'fe80::1%eth0' is not an IP address."),
        (endpoint("\u0661.0.0.1"), "'\\u0661.0.0.1' is not an IP address."),
        ({"endpoint": {"address": {"pipe": {"path": "/run/x"}}}}, "it has no IP address with a port."),
        ({"endpoint": {}}, "it has no IP address with a port."),
        ({}, "it has no IP address with a port."),
        (endpoint("10.0.0.9"), "its address is in the assignment already."),
    ],
)
def test_a_bad_endpoint_is_left_out_and_its_neighbours_stay(bad: dict, complaint: str) -> None:
    checked = check(of(GOOD, bad, endpoint("2001:db8::9")))

    assert addresses(checked.draft) == ["10.0.0.9", "2001:db8::9"]
    assert len(checked.complaints) == 1
    assert checked.complaints[0].startswith("endpoint ")
    assert checked.complaints[0].endswith(f" is left out: {complaint}")


def test_a_bad_one_does_not_take_the_address_of_a_good_one() -> None:
    checked = check(of(endpoint("10.0.0.9", load_balancing_weight=0), GOOD))

    assert addresses(checked.draft) == ["10.0.0.9"]


def test_what_is_left_keeps_all_else() -> None:
    whole = of(GOOD, endpoint("x"), policy={"overprovisioning_factor": 200})
    checked = check(whole)

    assert checked.draft is not None
    assert (checked.draft.name, checked.draft.type) == (whole.name, whole.type)
    assert unpack(EDS, checked.draft.packed).policy.overprovisioning_factor.value == 200


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (
            assignment(policy={"overprovisioning_factor": 0}),
            "policy.overprovisioning_factor is 0, not greater",
        ),
        (assignment({"priority": 129}), "endpoints[0].priority is 129, greater than 128."),
        (assignment({"priority": 1, "lb_endpoints": [GOOD]}), "there are priorities missing before 1."),
        (of(endpoint(), endpoint("10.0.0.2", load_balancing_weight=2**32 - 1)), "the weights of locality"),
        (
            assignment(*({"locality": {"zone": zone}, "load_balancing_weight": 2**31} for zone in "ab")),
            "the weights of the localities of priority 0 sum up",
        ),
        (assignment({}, {}), "locality '//' is there twice with priority 0."),
        (of(endpoint("x"), endpoint("y")), "endpoint 'x' port 80 is left out:"),
    ],
)
def test_an_assignment_that_is_bad_as_a_whole_is_refused(bad: Draft, complaint: str) -> None:
    checked = check(bad)

    assert checked.draft is None
    assert checked.complaints[0].startswith(complaint)


def many(count: int) -> Draft:
    message = ClusterLoadAssignment(cluster_name="user", endpoints=[LocalityLbEndpoints()])
    for number in range(count):
        one = message.endpoints[0].lb_endpoints.add()
        one.endpoint.address.socket_address.address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        one.endpoint.address.socket_address.port_value = 80
    return draft(EDS, "user", message)


def test_twenty_thousand_endpoints_are_served() -> None:
    assert check(many(20_000)).complaints == ()


def test_more_endpoints_than_there_may_be_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xds_server.snapshot.check.endpoints.ENDPOINTS", 3)

    assert check(many(3)).complaints == ()
    assert check(many(4)).complaints == (
        "it has 4 endpoints, more than 3; look for what is registered many times over.",
    )


# --- whole resources -----------------------------------------------------------------------------------

WAY = {"match": {"prefix": "/"}, "route": {"cluster": "user"}}


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (
            routes({"name": "a", "domains": ["x"]}, {"name": "a", "domains": ["y"]}),
            "virtual host 'a' is there twice.",
        ),
        (
            routes({"name": "a", "domains": ["x"]}, {"name": "b", "domains": ["X"]}),
            "domain 'x' is there twice.",
        ),
        (routes({"name": "a", "domains": ["*", "*"]}), "domain '*' is there twice."),
        (
            routes({"name": "a", "domains": ["x"]}, {"name": "b", "domains": []}),
            "virtual_hosts[1].domains: has to be set.",
        ),
        (
            cluster(ring_hash_lb_config={"minimum_ring_size": 9, "maximum_ring_size": 8}),
            "ring_hash_lb_config: a ring of at least 9 and at most 8 entries is none.",
        ),
        (
            cluster(maglev_lb_config={"table_size": 65_536}),
            "maglev_lb_config.table_size: 65536 is no prime number.",
        ),
        (cluster(maglev_lb_config={"table_size": 1}), "maglev_lb_config.table_size: 1 is no prime number."),
        (cluster(maglev_lb_config={"table_size": 5_000_012}), "maglev_lb_config.table_size"),
        (
            cluster(outlier_detection={"base_ejection_time": "10s", "max_ejection_time": "9s"}),
            "outlier_detection.max_ejection_time is shorter than base_ejection_time.",
        ),
        (listener(address="localhost"), "'localhost' is not an IP address."),
        (listener(filter_chains=[{}, {}]), "filter chain for 'any server name' is there twice."),
        (
            listener(
                filter_chains=[
                    {"filter_chain_match": {"server_names": ["a", "b"]}},
                    {"filter_chain_match": {"server_names": ["b"]}},
                ]
            ),
            "filter chain for 'b' is there twice.",
        ),
        (draft(LDS, "edge", Listener(name="edge")), "address: has to be set."),
        (draft(CDS, "user", Cluster(name="other")), "it says that its name is 'other'."),
        (draft(CDS, "user", VirtualHost(name="user")), "it is not a message of its type."),
        (Draft(type=CDS, name="user", packed=b"\xff\xff"), "it is not a message of its type."),
        (cluster("x" * 2049), "its name is longer than 2048 bytes"),
        (cluster(alt_stat_name="x" * LIMITS[CDS].size), "it has "),
    ],
)
def test_a_bad_resource_is_refused(bad: Draft, complaint: str) -> None:
    checked = check(bad)

    assert checked.draft is None
    assert checked.complaints[0].startswith(complaint), checked.complaints


def test_good_ones_are_handed_on_as_they_are() -> None:
    for one in (
        of(GOOD),
        assignment(),
        cluster(ring_hash_lb_config={"minimum_ring_size": 8, "maximum_ring_size": 8}),
        cluster(maglev_lb_config={"table_size": 65_537}),
        cluster(maglev_lb_config={"table_size": 5_000_011}),
        listener(filter_chains=[{"filter_chain_match": {"server_names": [name]}} for name in "ab"]),
        routes({"name": "a", "domains": ["x"], "routes": [WAY]}),
    ):
        checked = check(one)
        assert checked.draft is one
        assert checked.complaints == ()


# --- virtual hosts -------------------------------------------------------------------------------------


def host(name: str, *ways: dict) -> dict:
    return {"name": name, "domains": [f"{name}.test"], "routes": list(ways)}


def to(*clusters: str, weight: int = 1) -> dict:
    branches = [{"name": one, "weight": weight} for one in clusters]
    return {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": branches}}}


def led(snapshot: Snapshot) -> dict[str, int | set[str]]:
    """Give where each virtual host leads: the status that it answers itself, or clusters."""
    found = unpack(RDS, snapshot.resource(RDS, "edge").packed).virtual_hosts
    return {
        one.name: one.routes[0].direct_response.status
        or {branch.name for branch in one.routes[0].route.weighted_clusters.clusters}
        for one in found
    }


PAIR: Final = tuple(made for name in "ab" for made in (cluster(name), assignment(name=name)))


def with_routes(*hosts: dict, leads_to: str = "ab") -> Draft:
    whole = routes(*hosts)
    return replace(whole, references=tuple(Reference(CDS, name) for name in leads_to))


def test_a_bad_virtual_host_keeps_what_is_served_and_costs_no_other() -> None:
    before = made(*PAIR, with_routes(host("one", to("a")), host("two", to("a"))))
    bad = with_routes(host("one", to("b", weight=0)), host("two", to("b")), host("new", to("b", weight=0)))
    after = made(*PAIR, bad, previous=before)

    assert led(after) == {"one": {"a"}, "two": {"b"}, "new": 503}
    (problem,) = after.problems
    assert (problem.code, problem.source) == (Code.RESOURCE_INVALID, "origin of edge")
    assert "virtual host 'one' is withheld, its last good version is served: routes[0]" in problem.sentence
    assert "virtual host 'new' is withheld, it answers 503: " in problem.sentence
    assert made(*PAIR, bad, previous=after) is after
    # What is served was already not as it says, and it stays so; a stand-in is no good version.
    more = made(
        *PAIR, with_routes(host("one", to("b", weight=0)), host("new", to("b", weight=0))), previous=after
    )
    assert led(more) == {"one": {"a"}, "new": 503}
    assert "virtual host 'new' is withheld, it answers 503: " in more.problems[0].sentence


def test_a_virtual_host_that_is_kept_has_the_domains_that_are_its_own_now() -> None:
    before = made(*PAIR, with_routes({**host("one", to("a")), "domains": ["x.test", "y.test"]}))
    other = {**host("two", to("b")), "domains": ["y.test"]}
    bad = {**host("one", to("b", weight=0)), "domains": ["x.test"]}
    after = made(*PAIR, with_routes(bad, other), previous=before)

    assert led(after) == {"one": {"a"}, "two": {"b"}}


def test_a_virtual_host_is_not_kept_that_leads_to_what_is_gone() -> None:
    before = made(*PAIR, with_routes(host("one", to("a"))))
    after = made(*PAIR[2:], with_routes(host("one", to("b", weight=0)), leads_to="b"), previous=before)

    assert led(after) == {"one": 503}
    assert len(after.problems) == 1


# --- in a snapshot -------------------------------------------------------------------------------------

SERVED: Final = (cluster(connect_timeout="1s"), of(GOOD))


def test_a_bad_resource_keeps_its_last_good_version_and_the_rest_goes_on() -> None:
    before = made(*SERVED)
    after = made(cluster(connect_timeout="0s"), of(GOOD, endpoint("10.0.0.10")), previous=before)

    assert after.resource(CDS, "user") is before.resource(CDS, "user")
    assert after.resource(EDS, "user") is not before.resource(EDS, "user")
    assert after.problems == (
        Problem(
            code=Code.RESOURCE_INVALID,
            source="origin of user",
            sentence="Cluster user is withheld, the last good version is served: "
            "connect_timeout is 0s, not longer than 0s.",
        ),
    )


def test_without_a_good_version_a_stand_in_is_served_and_never_taken_for_one() -> None:
    bad = (cluster(connect_timeout="0s"), of(GOOD), routes({"name": "a", "domains": ["x"], "routes": [WAY]}))
    first = made(*bad)
    again = made(*bad, previous=first)

    assert first.resource(CDS, "user") is not None
    for snapshot in (first, again):
        (problem,) = snapshot.problems
        assert "there is no good version to serve" in problem.sentence
    assert again is first
    assert made(*SERVED, previous=again).problems == ()


def test_a_bad_endpoint_is_a_problem_and_costs_itself() -> None:
    snapshot = made(cluster(), of(GOOD, endpoint("example.test")))
    again = made(cluster(), of(GOOD, endpoint("example.test")), previous=snapshot)

    assert snapshot.problems == (
        Problem(
            code=Code.ENDPOINT_INVALID,
            source="origin of user",
            sentence="ClusterLoadAssignment user: endpoint 'example.test' port 80 is left out: "
            "'example.test' is not an IP address.",
        ),
    )
    assert again is snapshot


def test_what_is_made_for_a_name_is_checked_too() -> None:
    derived = {CDS: lambda name: cluster(name, connect_timeout="0s" if name == "bad" else "1s")}
    snapshot = build({}, (), EMPTY, derived=derived)

    assert snapshot.resource(CDS, "good") is not None
    assert snapshot.resource(CDS, "bad") is None


# --- beside each other ---------------------------------------------------------------------------------


def listeners(snapshot: Snapshot) -> dict[str, int]:
    return {
        name: unpack(LDS, one.packed).address.socket_address.port_value
        for name, one in snapshot.sets[LDS].by_name.items()
    }


def test_of_two_listeners_on_one_address_the_one_that_is_served_stays() -> None:
    before = made(listener("old", port=81))
    after = made(listener("old", port=81), listener("new", port=81), listener("more"), previous=before)

    assert listeners(after) == {"old": 81, "more": 80}
    (problem,) = after.problems
    assert problem.sentence == (
        "Listener new is withheld, there is no good version to serve: listener old listens on 0.0.0.0 "
        "port 81 already."
    )
    assert listeners(made(listener("b"), listener("a"))) == {"a": 80}


def test_listeners_may_swap_their_addresses_and_take_one_that_is_free() -> None:
    before = made(listener("a", port=1), listener("b", port=2))

    swapped = made(listener("a", port=2), listener("b", port=1), previous=before)
    moved = made(listener("b", port=1), previous=before)

    assert (listeners(swapped), swapped.problems) == ({"a": 2, "b": 1}, ())
    assert (listeners(moved), moved.problems) == ({"b": 1}, ())


def test_what_is_kept_can_be_in_the_way_of_another_one() -> None:
    before = made(listener("a", port=1), listener("z", port=2))
    after = made(listener("a", port=2), listener("b", port=1), listener("z", port=2), previous=before)

    # `a` cannot move to the address of `z`, so `b` cannot have that of `a`.
    assert listeners(after) == {"a": 1, "z": 2}
    assert len(after.problems) == 2


def test_free_ports_are_for_any_number_of_listeners() -> None:
    assert listeners(made(listener("a", port=0), listener("b", port=0))) == {"a": 0, "b": 0}


def test_more_resources_than_there_may_be_cost_those_that_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    before = made(*(one for name in "cd" for one in (cluster(name), assignment(name=name))))
    patched = {**LIMITS, CDS: Limit(LIMITS[CDS].size, 3)}
    monkeypatch.setattr("xds_server.snapshot.check.together.LIMITS", patched)

    after = made(
        *(one for name in "abcde" for one in (cluster(name), assignment(name=name))), previous=before
    )

    whole = {name for name, one in after.sets[CDS].by_name.items() if not stands_in(one)}
    assert whole == {"a", "c", "d"}
    assert {problem.source for problem in after.problems} == {"origin of b", "origin of e"}


# --- a net under translation ---------------------------------------------------------------------------

NET: Final = {Code.ENDPOINT_INVALID, Code.RESOURCE_INVALID, Code.REFERENCE_MISSING}


@pytest.mark.parametrize("story", stories())
def test_in_what_translation_makes_nothing_is_found_and_nothing_dangles(story: str, tmp_path: Path) -> None:
    snapshot = run_story(GOLDEN / story, tmp_path).snapshot

    assert [one for one in snapshot.problems if one.code in NET] == []
    clusters = snapshot.sets[CDS].by_name
    for type_url in (LDS, RDS, TypeUrl.VIRTUAL_HOST):
        for one in snapshot.sets[type_url].by_name.values():
            assert led_to(to_dict(unpack(type_url, one.packed))) <= clusters.keys()


def led_to(value: object) -> set[str]:
    """Give every cluster that is named anywhere in a message."""
    if isinstance(value, list):
        return set().union(*map(led_to, value))
    if not isinstance(value, dict):
        return set()
    found = {value["cluster"]} if isinstance(value.get("cluster"), str) else set()
    for branch in value.get("weighted_clusters", {}).get("clusters", ()):
        found.add(branch["name"])
    return found.union(*map(led_to, value.values()))


def test_every_type_has_its_limits() -> None:
    assert LIMITS.keys() == set(TypeUrl)
