"""Rules as exact Envoy routes, and every shape of them before the judge: `envoy --mode validate`."""

import json

import pytest
from envoy.config.route.v3.route_components_pb2 import Route as EnvoyRoute
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.json_format import MessageToDict, ParseDict

from tests.rig.static_bootstrap import ask_envoy
from tests.translate.test_matches import MATCHES
from xds_server.model.policy import HashKind, HashOn, LbPolicy, Protocol, ServicePolicy
from xds_server.model.route import (
    Branch,
    HeaderChanges,
    PathKind,
    PathMatch,
    Retries,
    RouteMatch,
    Rule,
    Treatment,
)
from xds_server.translate.regex_size import MOST, program_size
from xds_server.translate.rules import envoy_routes

TYPES = "type.googleapis.com/envoy.extensions"
USER = (Branch(cluster="user"),)
SAFE = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 2,
    "host_selection_retry_max_attempts": 3,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{TYPES}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
}
CHANGES = HeaderChanges(add=(("x-a", "1%"),), set=(("x-b", "%HOSTNAME%"),), remove=("x-c",))
CHANGED = {
    "request_headers_to_add": [
        {"header": {"key": "x-a", "value": "1%%"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"},
        {"header": {"key": "x-b", "value": "%%HOSTNAME%%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
    ],
    "request_headers_to_remove": ["x-c"],
}


def at(value, kind=PathKind.SEGMENTS, **more):
    return RouteMatch(path=PathMatch(kind=kind, value=value, **more))


def to_user(match=None, branches=USER, **treatment):
    return Rule(match=match or RouteMatch(), branches=branches, treatment=Treatment(**treatment))


def action(match=None, **given):
    retry = given.pop("retry_policy", SAFE)
    return {"match": match or {"prefix": "/"}, "route": {"cluster": "user", "retry_policy": retry, **given}}


def rewritten(value, new, kind=PathKind.SEGMENTS, **more):
    return to_user(at(value, kind, **more), prefix_rewrite=new)


def in_two(below, itself, new="/"):
    return [action(below, prefix_rewrite=new), action(itself, prefix_rewrite=new)]


RULES = {
    "plain": (to_user(), action()),
    "no branch": (
        Rule(branches=(), reason="why\n"),
        {"match": {"prefix": "/"}, "direct_response": {"status": 503, "body": {"inline_string": "why\n"}}},
    ),
    "timeouts": (
        to_user(timeout=2.5, idle_timeout=0.0),
        action(timeout="2.5s", idle_timeout="0s"),
    ),
    "no time limit": (to_user(timeout=0.0), action(timeout="0s")),
    "retries": (
        to_user(retries=Retries(count=4, on=("5xx", "reset"), statuses=(409, 503), per_try=0.25)),
        action(
            retry_policy={
                **SAFE,
                "retry_on": "5xx,reset,retriable-status-codes",
                "num_retries": 4,
                "retriable_status_codes": [409, 503],
                "per_try_timeout": "0.25s",
            }
        ),
    ),
    "retries on nothing": (
        to_user(retries=Retries(count=1)),
        action(retry_policy={**SAFE, "retry_on": "", "num_retries": 1}),
    ),
    "headers": (
        to_user(request=CHANGES, response=HeaderChanges(set=(("x-d", "1"),))),
        {
            **action(),
            **CHANGED,
            "response_headers_to_add": [
                {"header": {"key": "x-d", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
        },
    ),
    "prefix rewritten": (
        rewritten("/api", "/v2"),
        action({"path_separated_prefix": "/api"}, prefix_rewrite="/v2"),
    ),
    "prefix taken away": (
        rewritten("/a.b", "/"),
        in_two({"prefix": "/a.b/"}, {"path": "/a.b"}),
    ),
    "prefix taken away, any case": (
        rewritten("/api", "/", PathKind.PREFIX, ignore_case=True),
        in_two({"prefix": "/api/", "case_sensitive": False}, {"prefix": "/api", "case_sensitive": False}),
    ),
    "prefix with a slash taken away": (
        rewritten("/api/", "/", PathKind.PREFIX),
        action({"prefix": "/api/"}, prefix_rewrite="/"),
    ),
    "prefix becomes a folder": (
        rewritten("/api", "/v\\2/"),
        in_two({"prefix": "/api/"}, {"path": "/api"}, "/v\\2/"),
    ),
    "path rewritten": (rewritten("/a", "/b", PathKind.EXACT), action({"path": "/a"}, prefix_rewrite="/b")),
    "what matched rewritten": (
        rewritten("/a.*", "/b/", PathKind.REGEX),
        action({"safe_regex": {"regex": "/a.*"}}, prefix_rewrite="/b/"),
    ),
    "split": (
        to_user(branches=(Branch(cluster="user", weight=99), Branch(cluster="other", request=CHANGES))),
        {
            "match": {"prefix": "/"},
            "route": {
                "retry_policy": SAFE,
                "weighted_clusters": {
                    "clusters": [{"name": "user", "weight": 99}, {"name": "other", "weight": 1, **CHANGED}]
                },
            },
        },
    ),
    "one branch that changes headers": (
        to_user(branches=(Branch(cluster="user", request=CHANGES),)),
        {
            "match": {"prefix": "/"},
            "route": {
                "retry_policy": SAFE,
                "weighted_clusters": {"clusters": [{"name": "user", "weight": 1, **CHANGED}]},
            },
        },
    ),
    "hash": (
        to_user(branches=(Branch(cluster="ring"),)),
        {
            "match": {"prefix": "/"},
            "route": {
                "cluster": "ring",
                "retry_policy": SAFE,
                "hash_policy": [
                    {"header": {"header_name": "x-user"}, "terminal": True},
                    {"query_parameter": {"name": "user"}},
                    {"cookie": {"name": "session", "path": "/", "ttl": "0s"}},
                    {"connection_properties": {"source_ip": True}},
                ],
            },
        },
    ),
    "the longest that a service asks for": (
        to_user(branches=(Branch(cluster="quick"), Branch(cluster="slow"))),
        {
            "match": {"prefix": "/"},
            "route": {
                "timeout": "9s",
                "retry_policy": SAFE,
                "weighted_clusters": {
                    "clusters": [{"name": "quick", "weight": 1}, {"name": "slow", "weight": 1}]
                },
            },
        },
    ),
    "gRPC has its own deadlines": (
        to_user(branches=(Branch(cluster="grpc"),)),
        {"match": {"prefix": "/"}, "route": {"cluster": "grpc", "timeout": "0s", "retry_policy": SAFE}},
    ),
}  # fmt: skip

RING = (
    HashOn(kind=HashKind.HEADER, name="x-user", terminal=True),
    HashOn(kind=HashKind.QUERY, name="user"),
    HashOn(kind=HashKind.COOKIE, name="session", ttl=0.0, path="/"),
    HashOn(kind=HashKind.SOURCE_IP),
)
POLICIES = {
    "user": ServicePolicy(hash_on=RING),
    "other": ServicePolicy(),
    "ring": ServicePolicy(lb_policy=LbPolicy.RING_HASH, hash_on=RING),
    "quick": ServicePolicy(request_timeout=1.0),
    "slow": ServicePolicy(request_timeout=9.0),
    "grpc": ServicePolicy(protocol=Protocol.GRPC),
}


def routes_of(rule):
    return envoy_routes(rule, [POLICIES[branch.cluster] for branch in rule.branches])


@pytest.mark.parametrize("shape", RULES)
def test_a_rule_in_envoys_words(shape):
    rule, expected = RULES[shape]
    wanted = expected if isinstance(expected, list) else [expected]
    assert routes_of(rule) == tuple(ParseDict(one, EnvoyRoute()) for one in wanted)


def static(rules):
    """Give an Envoy with a virtual host for each rule."""
    hosts = [
        VirtualHost(name=str(number), domains=[f"host-{number}"], routes=routes_of(rule))
        for number, rule in enumerate(rules)
    ]
    routes = MessageToDict(
        RouteConfiguration(name="all", virtual_hosts=hosts), preserving_proto_field_name=True
    )
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "all",
        "route_config": routes,
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}
        ],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    listener = {
        "name": "all",
        "address": address,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = [{"name": name, "load_assignment": {"cluster_name": name}} for name in POLICIES]
    return json.dumps({"static_resources": {"clusters": clusters, "listeners": [listener]}})


@pytest.mark.integration
def test_a_real_envoy_takes_every_shape(tmp_path):
    rules = [rule for rule, _ in RULES.values()] + [to_user(match) for match, _ in MATCHES.values()]
    answer = ask_envoy(static(rules), tmp_path)
    assert answer.returncode == 0, answer.stderr


# --- the size of regular expressions -----------------------------------------------------------------

REGEXES = (
    *(
        "a" * 90,
        "[a-z]" * 90,
        "(a)" * 30,
        "(?:a)" * 90,
        "." * 45,
        r"\w" * 22,
        r"\d" * 90,
        r"\s" * 22,
        r"\pL" * 12,
    ),
    *("[^a]" * 30, "a?" * 45, "a*" * 45, "(?:ab|cd)" * 15, "(?P<n>a)", "a{90}", "a{10,30}", "(?:a{3}){10}"),
    *(
        "ü" * 45,
        "[日本]" * 12,
        "[[:alpha:]]" * 20,
        r"\W" * 15,
        "(?i)abc",
        r"[a-zA-Z0-9._-]+@[a-z]+\.[a-z]{2,6}",
    ),
)


@pytest.mark.integration
def test_what_is_within_the_bound_is_within_envoys(tmp_path):
    small = [regex for regex in REGEXES if program_size(regex) <= MOST]
    assert len(small) >= len(REGEXES) - 3
    answer = ask_envoy(static([to_user(at(regex, PathKind.REGEX)) for regex in small]), tmp_path)
    assert answer.returncode == 0, answer.stderr


LARGE = (
    "a" * 100,
    "(a|b){500}",
    r"\pL{1000}",
    "(?:(?:ab){9}c){9}",
    "." * 60,
    "[^/]+" * 40,
    "|".join(["ab"] * 40),
)


@pytest.mark.parametrize("regex", LARGE)
def test_what_envoy_refuses_is_beyond_the_bound(regex):
    assert program_size(regex) > MOST


def test_what_people_write_is_within_the_bound():
    for regex in (
        "^/api/v[0-9]+/users/[a-z0-9-]+/orders/[0-9]+$",
        "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ):
        assert program_size(regex) <= MOST
