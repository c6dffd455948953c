"""What gRPC clients are told of the rules of a service, and what of them they cannot do."""

import pytest
from envoy.config.route.v3.route_components_pb2 import RouteMatch as EnvoyMatch
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.json_format import MessageToDict, ParseDict

from xds_server.model.policy import (
    HashKind,
    HashOn,
    LbPolicy,
    Protocol,
    Route,
    ServicePolicy,
    WeightedService,
)
from xds_server.model.problem import Code
from xds_server.model.route import (
    Branch,
    HeaderChanges,
    PathKind,
    PathMatch,
    Retries,
    RouteMatch,
    Rule,
    TextKind,
    TextMatch,
    Treatment,
)
from xds_server.model.types import TypeUrl
from xds_server.translate.meaning import Parts, plain
from xds_server.translate.proxyless_routes import host_routes, service_routes
from xds_server.translate.render import unpack
from xds_server.translate.routes import Served

GRPC = ServicePolicy(protocol=Protocol.GRPC)
CLUSTERS = {"v1": GRPC, "v2": ServicePolicy(lb_policy=LbPolicy.RING_HASH)}
V1, V2 = (Branch(cluster=name) for name in CLUSTERS)
CHANGES = HeaderChanges(set=(("x-a", "1"),))
SERVED = Served.of(
    "dc1",
    {
        "user": plain("user", GRPC, Parts(subsets=(("v2", "x"),))),
        "order": plain("order", GRPC, Parts()),
    },
)


def unpacked(draft):
    found = unpack(TypeUrl.ROUTES, draft.packed)
    assert isinstance(found, RouteConfiguration)
    return list(found.virtual_hosts[0].routes)


def routes(*rules):
    draft, problems = service_routes("user", rules, CLUSTERS)
    return unpacked(draft), problems


def at(value, kind=PathKind.PREFIX, **more):
    return RouteMatch(path=PathMatch(kind=kind, value=value), **more)


def rule(match=None, *branches, **treatment):
    return Rule(
        match=match or RouteMatch(),
        branches=branches or (V1,),
        treatment=Treatment(**treatment),
        source="here",
    )


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (RouteMatch(), [{"prefix": "/"}]),
        (at("/a.B", PathKind.SEGMENTS), [{"path": "/a.B"}, {"prefix": "/a.B/"}]),
        (at("/a.B/", PathKind.SEGMENTS), [{"prefix": "/a.B/"}]),
        (at("/a.B/C", PathKind.EXACT), [{"path": "/a.B/C"}]),
        (at("/a.*", PathKind.REGEX), [{"safe_regex": {"regex": "/a.*"}}]),
        (
            RouteMatch(headers=(TextMatch(name="x-a", kind=TextKind.EXACT, value="1"),)),
            [{"prefix": "/", "headers": [{"name": "x-a", "string_match": {"exact": "1"}}]}],
        ),
        # Every call is a POST without a query.
        (RouteMatch(methods=("GET", "POST")), [{"prefix": "/"}]),
        (RouteMatch(methods=("GET",)), []),
        (RouteMatch(query=(TextMatch(name="q"),)), []),
    ],
)
def test_a_match_in_words_that_grpc_knows(match, expected):
    made, problems = routes(rule(match), rule())
    assert [one.match for one in made[:-1]] == [ParseDict(one, EnvoyMatch()) for one in expected]
    assert problems == ()


def test_a_condition_that_grpc_cannot_tell_leaves_the_route_out():
    authority = RouteMatch(headers=(TextMatch(name=":authority", kind=TextKind.EXACT, value="x"),))
    made, (problem,) = routes(rule(authority, V2), rule())
    assert [one.route.cluster for one in made] == ["v1"]
    assert (problem.code, problem.source) == (Code.GRPC_ROUTE_TARGET, "here")


def test_a_timeout_and_the_retries_that_grpc_knows():
    retries = Retries(count=3, on=("5xx", "unavailable", "cancelled"))
    ((made,), problems) = routes(rule(None, V1, timeout=2.5, idle_timeout=9.0, retries=retries))
    assert MessageToDict(made.route, preserving_proto_field_name=True) == {
        "cluster": "v1",
        "max_stream_duration": {"max_stream_duration": "2.500s"},
        "retry_policy": {"retry_on": "cancelled,unavailable", "num_retries": 3},
    }
    assert problems == ()


def test_retries_that_grpc_does_not_know_are_not_told():
    ((made,), _) = routes(rule(None, V1, retries=Retries(count=3, on=("5xx",), statuses=(503,))))
    assert not made.route.HasField("retry_policy")


@pytest.mark.parametrize(
    "changing",
    [
        rule(at("/a"), prefix_rewrite="/b"),
        rule(None, request=CHANGES),
        rule(None, response=CHANGES),
        rule(None, Branch(cluster="v1", request=CHANGES)),
    ],
)
def test_what_changes_a_call_is_a_problem_and_the_call_goes_on_as_it_is(changing):
    (made,), (problem,) = routes(changing)
    assert made.route.cluster == "v1"
    assert not made.request_headers_to_add
    assert not made.route.prefix_rewrite
    assert problem.code is Code.GRPC_ROUTE_TARGET
    assert "neither rewrite paths nor change headers" in problem.sentence


def test_a_split_and_the_hash_of_its_ring():
    split = (Branch(cluster="v1", weight=9), Branch(cluster="v2", weight=1))
    ((made,), _) = routes(rule(None, *split))
    assert [(one.name, one.weight.value) for one in made.route.weighted_clusters.clusters] == [
        ("v1", 9),
        ("v2", 1),
    ]
    assert [one.filter_state.key for one in made.route.hash_policy] == ["io.grpc.channel_id"]


def test_the_header_of_a_hash():
    header = HashOn(kind=HashKind.HEADER, name="x-user")
    ring = {"v1": ServicePolicy(lb_policy=LbPolicy.MAGLEV, hash_on=(header,))}
    draft, _ = service_routes("user", [rule()], ring)
    (made,) = unpacked(draft)
    assert [one.header.header_name for one in made.route.hash_policy] == ["x-user"]


def test_a_rule_that_leads_nowhere_fails_calls():
    made, _ = routes(Rule(branches=(), source="here"))
    assert [one.direct_response.status for one in made] == [503]


def claimed(*targets, **more):
    route = Route(hosts=("api",), targets=targets, source="here", **more)
    draft, problems = host_routes("api", [route], SERVED)
    return (unpacked(draft) if draft else []), problems


def test_a_route_of_the_operator_leads_to_a_subset():
    (made,), problems = claimed(
        WeightedService(service="user", subset="v2"), WeightedService(service="order")
    )
    assert [one.name for one in made.route.weighted_clusters.clusters] == ["user@v2", "order"]
    assert problems == ()


def test_a_subset_that_is_not_there_leaves_the_split_with_a_problem():
    gone = WeightedService(service="user", subset="v3")
    (made,), (problem,) = claimed(gone, WeightedService(service="order"))
    assert made.route.cluster == "order"
    assert 'cannot call service "user@v3"' in problem.sentence


def test_conditions_of_the_operator_are_conditions_for_grpc_too():
    match = RouteMatch(headers=(TextMatch(name="x-a"),), path=PathMatch(kind=PathKind.EXACT, value="/a.B/C"))
    (made,), _ = claimed(WeightedService(service="user"), match=match)
    assert (made.match.path, made.match.headers[0].name) == ("/a.B/C", "x-a")
