"""Compiled discovery chains: recorded ones, those of newer versions, and broken ones."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consul.recorded import recorded, recorded_body
from xds_server.consul.chains import ChainAnswer, decode_chain
from xds_server.consul.errors import Unreadable
from xds_server.model.chain import Chain, ChainRoute, LoadBalancer, Resolver, Router, Splitter
from xds_server.model.policy import HashKind, HashOn, LbPolicy
from xds_server.model.problem import Code
from xds_server.model.route import (
    HeaderChanges,
    PathKind,
    PathMatch,
    Retries,
    RouteMatch,
    TextKind,
    TextMatch,
    Treatment,
)

TRUST_DOMAIN = "11111111-2222-3333-4444-555555555555.consul"
ALL = RouteMatch(path=PathMatch(kind=PathKind.PREFIX, value="/"))


def chain_of(name: str) -> Chain:
    answer = decode_chain("web", recorded(name))
    assert answer.chain is not None, answer.problems
    return answer.chain


def sentences(answer: ChainAnswer) -> list[str]:
    assert {problem.code for problem in answer.problems} <= {Code.DISCOVERY_CHAIN}
    return [problem.sentence for problem in answer.problems]


# --- recorded


def test_a_chain_of_every_kind_of_node() -> None:
    answer = decode_chain("web", recorded("chain-1.8"))
    assert answer.problems == ()
    chain = answer.chain
    assert chain is not None
    assert (chain.service, chain.protocol, chain.start) == ("web", "http", "router:web.default")
    assert chain.nodes["router:web.default"] == Router(
        routes=(
            ChainRoute(
                match=RouteMatch(
                    path=PathMatch(kind=PathKind.PREFIX, value="/admin"),
                    headers=(
                        TextMatch(name="x-debug", kind=TextKind.PRESENT, invert=True),
                        TextMatch(name="x-team", kind=TextKind.EXACT, value="blue"),
                    ),
                    query=(TextMatch(name="q", kind=TextKind.EXACT, value="1"),),
                    methods=("GET", "POST"),
                ),
                treatment=Treatment(
                    prefix_rewrite="/",
                    timeout=15.0,
                    retries=Retries(count=3, on=("connect-failure",), statuses=(503, 502)),
                ),
                next="resolver:admin.default.dc1",
            ),
            ChainRoute(match=ALL, treatment=Treatment(), next="splitter:web.default"),
        )
    )
    splitter = chain.nodes["splitter:web.default"]
    assert isinstance(splitter, Splitter)
    assert [(split.weight, split.next) for split in splitter.splits] == [
        (9050, "resolver:v1.web.default.dc1"),
        (950, "resolver:v2.web.default.dc1"),
    ]
    assert chain.nodes["resolver:v1.web.default.dc1"] == Resolver(
        target="v1.web.default.dc1", failover=("backup.default.dc1",), connect_timeout=15.0
    )
    # 5 s is what Consul writes where nobody has said anything.
    assert chain.nodes["resolver:admin.default.dc1"] == Resolver(target="admin.default.dc1")
    assert list(chain.targets) == sorted(recorded_body("chain-1.8")["Chain"]["Targets"])
    far = chain.targets["v2.web.default.dc3"]
    assert (far.service, far.subset, far.datacenter, far.filter, far.only_passing) == (
        "web",
        "v2",
        "dc3",
        "Service.Meta.version == v2",
        True,
    )
    assert far.name == far.sni == f"v2.web.default.dc3.internal.{TRUST_DOMAIN}"


def test_a_default_chain_is_none_and_a_redirect_is_one() -> None:
    assert decode_chain("plain", recorded("chain-1.8-default")) == ChainAnswer()
    answer = decode_chain("redir", recorded("chain-1.8-redirect"))
    assert answer.chain is not None
    assert [target.service for target in answer.chain.targets.values()] == ["backup"]


def test_load_balancers() -> None:
    node = chain_of("chain-1.9-load-balancer").nodes["resolver:web.default.dc1"]
    assert isinstance(node, Resolver)
    assert node.load_balancer == LoadBalancer(
        policy=LbPolicy.RING_HASH,
        ring_size=(2048, 65536),
        hash_on=(
            HashOn(kind=HashKind.HEADER, name="x-user-id"),
            HashOn(kind=HashKind.COOKIE, name="session", ttl=0.0, path="/", terminal=True),
            HashOn(kind=HashKind.COOKIE, name="day", ttl=86400.0),
            HashOn(kind=HashKind.QUERY, name="shard"),
            HashOn(kind=HashKind.SOURCE_IP),
        ),
    )


def test_failover_to_a_peer_is_left_out_and_told() -> None:
    answer = decode_chain("web", recorded("chain-1.14-failover"))
    chain = answer.chain
    assert chain is not None
    web = chain.nodes["resolver:web.default.default.dc1"]
    other = chain.nodes["resolver:other.default.default.dc1"]
    assert isinstance(web, Resolver)
    assert web.failover == ("web.default.default.dc2",)
    assert other == Resolver(target="other.default.default.dc1", connect_timeout=0.25, request_timeout=90.0)
    target = chain.targets["other.default.default.dc1"]
    assert (target.sni, target.name.startswith("other.default"), target.connect_timeout) == (
        "other.example.com",
        True,
        0.25,
    )
    splitter = chain.nodes[chain.start]
    assert isinstance(splitter, Splitter)
    # Consul's own rounding is made up for.
    assert [split.weight for split in splitter.splits] == [3333, 6667]
    assert splitter.splits[0].request == HeaderChanges(
        add=(("x-trace", "100%"),), set=(("x-arm", "a"),), remove=("x-gone",)
    )
    assert splitter.splits[1].response == HeaderChanges(add=(("x-arm", "b"),))
    assert len(sentences(answer)) == 2
    assert any("cluster-02" in sentence for sentence in sentences(answer))
    assert any("header host" in sentence for sentence in sentences(answer))


def test_what_is_newer_than_1_16() -> None:
    answer = decode_chain("web", recorded("chain-1.17-locality"))
    chain = answer.chain
    assert chain is not None
    router = chain.nodes[chain.start]
    assert isinstance(router, Router)
    login, versions, rest = router.routes
    assert login.match == RouteMatch(
        path=PathMatch(kind=PathKind.EXACT, value="/Login", ignore_case=True),
        headers=(
            TextMatch(name=":authority", kind=TextKind.REGEX, value=r"(?i).*\.example\.com"),
            TextMatch(name="user-agent", kind=TextKind.CONTAINS, value="curl"),
        ),
    )
    assert login.treatment == Treatment(
        idle_timeout=0.0,
        retries=Retries(count=1, on=("5xx", "reset")),
        request=HeaderChanges(set=(("x-way", "login"),)),
    )
    assert versions.match.path == PathMatch(kind=PathKind.REGEX, value="/v[0-9]+/.*")
    assert versions.treatment.retries == Retries(count=1, statuses=(503,))
    assert rest.match == ALL
    resolver = chain.nodes["resolver:web.default.default.dc1"]
    assert isinstance(resolver, Resolver)
    assert resolver.failover == ()
    assert len(sentences(answer)) == 3


# --- broken ones: the chain is refused, with a reason, and nothing is raised

ROUTE = "resolver:admin.default.dc1"
HUGE = "x" * 5000


def _nodes(body: Any) -> Any:
    return body["Chain"]["Nodes"]


def _routes(body: Any) -> Any:
    return _nodes(body)["router:web.default"]["Routes"]


def _http(body: Any) -> Any:
    return _routes(body)[0]["Definition"]["Match"]["HTTP"]


def _splits(body: Any) -> Any:
    return _nodes(body)["splitter:web.default"]["Splits"]


def _target(body: Any) -> Any:
    return body["Chain"]["Targets"]["v1.web.default.dc1"]


BROKEN = {
    "a circle": (lambda b: _splits(b)[0].update(NextNode="router:web.default"), "leads back to itself"),
    "a circle of one": (lambda b: _splits(b)[0].update(NextNode="splitter:web.default"), "leads back"),
    "a node that is not there": (lambda b: _splits(b)[0].update(NextNode="nowhere"), "not there"),
    "a second router": (
        lambda b: (
            _nodes(b).update(
                {"router:2": _nodes(b)["router:web.default"] | {"Routes": [{"NextNode": ROUTE}]}}
            )
            or _splits(b)[0].update(NextNode="router:2")
        ),
        "is not where it starts",
    ),
    "no start": (lambda b: b["Chain"].update(StartNode=""), "not there"),
    "no nodes": (lambda b: b["Chain"].update(Nodes=None), "not there"),
    "a target that is not there": (
        lambda b: _nodes(b)["resolver:v1.web.default.dc1"]["Resolver"].update(Target="gone"),
        "is not there",
    ),
    "the target of a peer": (lambda b: _target(b).update(Peer="east"), "peered"),
    "the target of another namespace": (lambda b: _target(b).update(Namespace="team"), "namespace"),
    "a node of no type": (lambda b: _nodes(b)["splitter:web.default"].update(Type="tee"), "not known"),
    "a resolver without its part": (lambda b: _nodes(b)[ROUTE].pop("Resolver"), "not known or empty"),
    "another service": (lambda b: b["Chain"].update(ServiceName="payments"), "not asked for"),
    "weights beyond all": (lambda b: _splits(b)[0].update(Weight=95), "add up"),
    "a weight below nothing": (lambda b: _splits(b)[0].update(Weight=-1), "percentage"),
    "a weight that is text": (lambda b: _splits(b)[0].update(Weight="90"), "not understood"),
    "no splits": (lambda b: _nodes(b)["splitter:web.default"].update(Splits=None), "add up"),
    "too many splits": (
        lambda b: _splits(b).extend([{"Weight": 0, "NextNode": ROUTE}] * 200),
        "more than 100 ways",
    ),
    "too many routes": (lambda b: _routes(b).extend(_routes(b) * 300), "more than 500 routes"),
    "no catch-all": (lambda b: _routes(b).pop(), "does not take everything"),
    "no routes": (lambda b: _nodes(b)["router:web.default"].update(Routes=[]), "take everything"),
    "too many nodes": (lambda b: _nodes(b).update({str(n): _nodes(b)[ROUTE] for n in range(1001)}), "1000"),
    "a condition that is not known": (lambda b: _http(b).update(Body="x"), "Body"),
    "a match that is not known": (
        lambda b: _routes(b)[0]["Definition"]["Match"].update(TCP={}),
        "TCP",
    ),
    "a long regular expression": (lambda b: _http(b).update(PathPrefix="", PathRegex="a" * 600), "512"),
    "a look-ahead": (lambda b: _http(b).update(PathPrefix="", PathRegex="/(?=x)"), "RE2"),
    "half an expression": (lambda b: _http(b).update(PathPrefix="", PathRegex="/(x"), "cannot be read"),
    "a path without a slash": (lambda b: _http(b).update(PathPrefix="admin"), "begin with /"),
    "a long path": (lambda b: _http(b).update(PathPrefix="/" + HUGE), "longer than"),
    "a path of two lines": (lambda b: _http(b).update(PathPrefix="/a\nb"), "control characters"),
    "a header that is none": (lambda b: _http(b)["Header"][0].update(Name="x y"), "cannot be one"),
    "a header of two lines": (lambda b: _http(b)["Header"][1].update(Exact="a\r\nb"), "control"),
    "a header without a condition": (lambda b: _http(b)["Header"][0].update(Present=False), "nothing"),
    "too many conditions": (
        lambda b: _http(b).update(Header=[{"Name": "a", "Present": True}] * 65),
        "more than 64",
    ),
    "a parameter without a name": (lambda b: _http(b)["QueryParam"][0].update(Name=""), "which"),
    "a method that is an expression": (lambda b: _http(b).update(Methods=["GET|.*"]), "is none"),
    "methods that are too long": (lambda b: _http(b).update(Methods=["A" * 30] * 4), "too long together"),
    "a timeout that is none": (
        lambda b: _routes(b)[0]["Definition"]["Destination"].update(RequestTimeout="soon"),
        "no duration",
    ),
    "a cluster name with a slash": (lambda b: _target(b).update(Name="../payments"), "cannot be used"),
    "an SNI of two lines": (lambda b: _target(b).update(SNI="a\nb"), "cannot be used"),
    "a long filter": (lambda b: _target(b).update(Subset={"Filter": HUGE}), "filter"),
    "a filter of two lines": (lambda b: _target(b).update(Subset={"Filter": "a\nb"}), "control"),
    "a target of a service with a slash": (lambda b: _target(b).update(Service="a/../b"), "name"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_chain_is_refused(what: str) -> None:
    breaks, why = BROKEN[what]
    body = copy.deepcopy(recorded_body("chain-1.8"))
    breaks(body)
    answer = decode_chain("web", json.dumps(body).encode())
    assert (answer.chain, answer.refused) == (None, True)
    (sentence,) = sentences(answer)
    assert why in sentence
    assert len(sentence) < 600
    assert sentence.isprintable()


# --- bad pieces that cost themselves only

NOTED = {
    "a retry that is not known": (
        lambda b: _routes(b)[0]["Definition"]["Destination"].update(RetryOn=["5xx", "always"]),
        "always",
    ),
    "a status that is none": (
        lambda b: _routes(b)[0]["Definition"]["Destination"].update(RetryOnStatusCodes=[503, 7]),
        "no HTTP statuses",
    ),
    "a million retries": (
        lambda b: _routes(b)[0]["Definition"]["Destination"].update(NumRetries=10**6),
        "NumRetries",
    ),
    "a rewrite without a slash": (
        lambda b: _routes(b)[0]["Definition"]["Destination"].update(PrefixRewrite="x"),
        "stays as it is",
    ),
    "a header of two lines": (
        lambda b: _routes(b)[0]["Definition"]["Destination"].update(RequestHeaders={"Set": {"a": "b\r\nc"}}),
        "not made",
    ),
    "a header that is none": (
        lambda b: _routes(b)[0]["Definition"]["Destination"].update(ResponseHeaders={"Remove": [":path"]}),
        "not made",
    ),
    "a failover that is not there": (
        lambda b: _nodes(b)["resolver:v1.web.default.dc1"]["Resolver"]["Failover"]["Targets"].append("x"),
        "no failover to it",
    ),
    "a balancer that is not known": (
        lambda b: _nodes(b)[ROUTE].update(LoadBalancer={"Policy": "best"}),
        "best",
    ),
    "a ring that is upside down": (
        lambda b: _nodes(b)[ROUTE].update(
            LoadBalancer={
                "Policy": "ring_hash",
                "RingHashConfig": {"MinimumRingSize": 9, "MaximumRingSize": 8},
            }
        ),
        "neither",
    ),
    "a choice of one": (
        lambda b: _nodes(b)[ROUTE].update(
            LoadBalancer={"Policy": "least_request", "LeastRequestConfig": {"ChoiceCount": 1}}
        ),
        "ChoiceCount",
    ),
    "a hash that is not known": (
        lambda b: _nodes(b)[ROUTE].update(
            LoadBalancer={"Policy": "maglev", "HashPolicies": [{"Field": "body"}]}
        ),
        "body",
    ),
}


@pytest.mark.parametrize("what", NOTED)
def test_a_bad_piece_costs_itself_only(what: str) -> None:
    breaks, why = NOTED[what]
    body = copy.deepcopy(recorded_body("chain-1.8"))
    breaks(body)
    answer = decode_chain("web", json.dumps(body).encode())
    assert answer.chain is not None
    assert answer.chain.targets.keys() == chain_of("chain-1.8").targets.keys()
    (sentence,) = sentences(answer)
    assert why in sentence


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"nothing", b"\xff", b'{"Chain":', b"[" * 100_000])
def test_what_is_no_answer_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_chain("web", body)


def test_a_deep_chain_does_not_recurse() -> None:
    nodes: dict[str, Any] = {
        f"s{n}": {"Type": "splitter", "Splits": [{"Weight": 100, "NextNode": f"s{n + 1}"}]}
        for n in range(998)
    }
    body = recorded_body("chain-1.8-redirect")
    end = body["Chain"]["StartNode"]
    nodes["s998"] = {"Type": "splitter", "Splits": [{"Weight": 100, "NextNode": end}]}
    body["Chain"] |= {"StartNode": "s0", "Nodes": nodes | body["Chain"]["Nodes"]}
    (sentence,) = sentences(decode_chain("redir", json.dumps(body).encode()))
    assert "more than 16 nodes" in sentence
    body["Chain"]["StartNode"] = "s985"
    answer = decode_chain("redir", json.dumps(body).encode())
    assert answer.chain is not None
    assert len(answer.chain.nodes) == 15


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=3)
)
PATHS = st.sampled_from(["Chain", "Nodes", "Targets", "Routes", "Splits", "Resolver", "Definition", "HTTP"])


@given(st.dictionaries(PATHS, ANY), ANY, st.integers(0, 40))
def test_no_change_of_an_answer_raises(extra: dict[str, Any], value: Any, at: int) -> None:
    body = recorded_body("chain-1.8")
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, inner in items:
            places.append((part, key))
            walk(inner)

    walk(body["Chain"])
    part, key = places[at * len(places) // 41]
    part[key] = value
    body["Chain"] |= {key: value for key, value in extra.items() if key == "HTTP"}
    answer = decode_chain("web", json.dumps(body).encode())
    assert answer.chain is None or answer.chain.start in answer.chain.nodes
