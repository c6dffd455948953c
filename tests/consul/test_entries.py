"""Config entries of the kinds that are read as they are written."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consul.recorded import recorded
from xds_server.consul import chain_shapes, gateways, overrides
from xds_server.consul.chains import ChainAnswer, decode_chain
from xds_server.consul.entries import Kind, KindAnswer, decode_entries
from xds_server.consul.entry_book import EntryBook
from xds_server.consul.errors import Unreadable
from xds_server.model.entries import (
    ConfigEntries,
    IngressGateway,
    IngressListener,
    IngressService,
    LinkedService,
    Override,
    TerminatingGateway,
)
from xds_server.model.policy import CircuitBreakers, OutlierDetection, Protocol
from xds_server.model.problem import Code


def entry(kind: Kind, name: str, **fields: Any) -> dict[str, Any]:
    return {"Kind": str(kind), "Name": name, "CreateIndex": 5, "ModifyIndex": 7, **fields}


def read(kind: Kind, *entries: Any) -> KindAnswer:
    return decode_entries(kind, json.dumps(entries).encode())


def value_of(*answers: KindAnswer) -> ConfigEntries:
    book = EntryBook()
    for answer in answers:
        book.believe(answer)
    return book.value()


def told(value: ConfigEntries) -> list[tuple[str, str]]:
    assert {problem.code for problem in value.problems} <= {Code.CONFIG_ENTRY}
    return [(problem.source, problem.sentence) for problem in value.problems]


# --- proxy-defaults and service-defaults


def test_what_is_stated_is_laid_under_and_what_is_not_is_not() -> None:
    value = value_of(
        read(
            Kind.PROXY_DEFAULTS,
            entry(
                Kind.PROXY_DEFAULTS,
                "global",
                Config={"protocol": "HTTP", "local_connect_timeout_ms": 1500, "envoy_statsd_url": "x"},
            ),
        ),
        read(
            Kind.SERVICE_DEFAULTS,
            entry(Kind.SERVICE_DEFAULTS, "web", Protocol="grpc", MeshGateway={}, Expose={}),
            entry(Kind.SERVICE_DEFAULTS, "quiet", Protocol=""),
        ),
    )
    whose = 'consul proxy-defaults "global"'
    assert value.defaults == (
        Override(field="connect_timeout", value=1.5, source=whose),
        Override(field="protocol", value=Protocol.HTTP1, source=whose),
    )
    assert dict(value.overrides) == {
        "web": (Override(field="protocol", value=Protocol.GRPC, source='consul service-defaults "web"'),)
    }
    assert value.problems == ()


@pytest.mark.parametrize(
    ("said", "means"), [("http", "http1"), ("http2", "http2"), ("grpc", "grpc"), ("tcp", "tcp")]
)
def test_protocols(said: str, means: str) -> None:
    value = value_of(read(Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, "web", Protocol=said)))
    assert value.overrides["web"][0].value == Protocol(means)


def test_upstream_config_counts_where_the_proxies_are_the_caller() -> None:
    answer = decode_entries(Kind.SERVICE_DEFAULTS, recorded("service-defaults-1.10"))
    value = value_of(answer)
    whose = 'consul service-defaults "xds-server"'
    assert value.defaults == (
        Override(
            field="circuit_breakers",
            value=CircuitBreakers(max_connections=512, max_pending_requests=256),
            source=whose,
        ),
        Override(field="connect_timeout", value=2.0, source=whose),
        Override(
            field="outlier_detection",
            value=OutlierDetection(
                interval=22.0,
                consecutive_5xx=4,
                enforcing_consecutive_5xx=0,
                max_ejection_percent=40,
                base_ejection_time=45.0,
            ),
            source=whose,
        ),
    )
    # The caller's word goes over what the called service says of itself.
    assert dict(value.overrides) == {
        "counting": (
            Override(field="connect_timeout", value=0.75, source=whose),
            Override(field="protocol", value=Protocol.HTTP2, source=whose),
            Override(field="request_timeout", value=0.0, source='consul service-defaults "counting"'),
        ),
        "dashboard": (
            Override(
                field="outlier_detection",
                value=OutlierDetection(interval=10.0, consecutive_5xx=2),
                source=whose,
            ),
        ),
    }
    assert value.problems == ()


BAD_DEFAULTS = {
    "a protocol that is none": ({"Protocol": "mysql"}, 'Protocol "mysql" is not known'),
    "a protocol that is a number": ({"Protocol": 7}, "not known"),
    "a timeout below nothing": ({"LocalConnectTimeoutMs": -1}, "no number of milliseconds"),
    "a timeout for ever": ({"LocalRequestTimeoutMs": 10**30}, "no number of milliseconds"),
    "a timeout that is true": ({"LocalRequestTimeoutMs": True}, "no number"),
    "upstreams that are none": ({"UpstreamConfig": 7}, "cannot be read"),
    "defaults that are none": ({"UpstreamConfig": {"Defaults": 7}}, "UpstreamConfig.Defaults"),
    "limits below nothing": ({"UpstreamConfig": {"Defaults": {"Limits": {"MaxConnections": -1}}}}, "-1"),
    "120 percent": (
        {"UpstreamConfig": {"Defaults": {"PassiveHealthCheck": {"MaxEjectionPercent": 120}}}},
        "no percentage",
    ),
    "an interval that is none": (
        {"UpstreamConfig": {"Defaults": {"PassiveHealthCheck": {"Interval": "often"}}}},
        "no duration",
    ),
    "an override of a bad name": ({"UpstreamConfig": {"Overrides": [{"Name": "a/../b"}]}}, "a/../b"),
    "an override that is none": ({"UpstreamConfig": {"Overrides": [7]}}, "UpstreamConfig.Overrides"),
}


@pytest.mark.parametrize("what", BAD_DEFAULTS)
def test_a_bad_field_costs_itself_only(what: str) -> None:
    fields, why = BAD_DEFAULTS[what]
    good = entry(Kind.SERVICE_DEFAULTS, "web", Protocol="http")
    value = value_of(read(Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, "xds-server", **fields), good))
    ((source, sentence),) = told(value)
    assert source == 'consul service-defaults "xds-server"'
    assert why in sentence
    assert (value.defaults, list(value.overrides)) == ((), ["web"])


# --- gateways


def test_an_ingress_gateway() -> None:
    value = value_of(decode_entries(Kind.INGRESS_GATEWAY, recorded("ingress-gateway-newer")))
    assert dict(value.gateways) == {
        "us-east": IngressGateway(
            name="us-east",
            tls=True,
            listeners=(
                IngressListener(port=3456, protocol="tcp", services=(IngressService(name="db"),)),
                IngressListener(port=8080, protocol="http2", services=(IngressService(name="*"),)),
                IngressListener(
                    port=8443,
                    protocol="http",
                    services=(
                        IngressService(name="api", hosts=("api.example.com", "api2.example.com")),
                        IngressService(name="web", hosts=("*",)),
                    ),
                    tls=True,
                ),
            ),
        )
    }
    assert value.problems == ()


def test_a_terminating_gateway() -> None:
    services = [
        {
            "Name": "billing",
            "CAFile": "/etc/ca.pem",
            "CertFile": "/c.pem",
            "KeyFile": "/k.pem",
            "SNI": "b.example.com",
        },
        {"Name": "*"},
    ]
    value = value_of(
        read(Kind.TERMINATING_GATEWAY, entry(Kind.TERMINATING_GATEWAY, "out", Services=services))
    )
    assert value.gateways["out"] == TerminatingGateway(
        name="out",
        services=(
            LinkedService(name="*"),
            LinkedService(
                name="billing",
                ca_file="/etc/ca.pem",
                cert_file="/c.pem",
                key_file="/k.pem",
                sni="b.example.com",
            ),
        ),
    )


BAD_LISTENERS = {
    "a port that is none": ({"Port": 70000, "Services": []}, "port 70000"),
    "a protocol that is none": ({"Port": 80, "Protocol": "udp"}, "udp"),
    "no port": ({"Protocol": "http"}, "cannot be read"),
    "two services of tcp": (
        {"Port": 80, "Protocol": "tcp", "Services": [{"Name": "a"}, {"Name": "b"}]},
        "more than one service",
    ),
}


@pytest.mark.parametrize("what", BAD_LISTENERS)
def test_a_bad_listener_is_left_out(what: str) -> None:
    listener, why = BAD_LISTENERS[what]
    good = {"Port": 8080, "Protocol": "http", "Services": [{"Name": "*"}]}
    value = value_of(
        read(Kind.INGRESS_GATEWAY, entry(Kind.INGRESS_GATEWAY, "in", Listeners=[listener, good]))
    )
    gateway = value.gateways["in"]
    assert isinstance(gateway, IngressGateway)
    assert [one.port for one in gateway.listeners] == [8080]
    ((_, sentence),) = told(value)
    assert why in sentence


@pytest.mark.parametrize(
    "hosts", [["a b"], ["a\nb"], ["*.*"], ["ex%ample"], ["x" * 300], ["-a.com"], ["[::1]"]]
)
def test_a_service_without_a_host_that_can_be_used_gets_none_it_has_not_asked_for(hosts: list[str]) -> None:
    services = [{"Name": "web", "Hosts": hosts}, {"Name": "api", "Hosts": [*hosts, "*.example.com"]}]
    listener = {"Port": 80, "Protocol": "http", "Services": services}
    value = value_of(read(Kind.INGRESS_GATEWAY, entry(Kind.INGRESS_GATEWAY, "in", Listeners=[listener])))
    gateway = value.gateways["in"]
    assert isinstance(gateway, IngressGateway)
    assert gateway.listeners[0].services == (IngressService(name="api", hosts=("*.example.com",)),)
    assert len(told(value)) == 3


@pytest.mark.parametrize(
    "service",
    [
        {"Name": "a/b"},
        {"Name": "a", "SNI": "a b"},
        {"Name": "a", "CertFile": "/x"},
        {"Name": "a", "CAFile": "/\n"},
        7,
    ],
)
def test_a_link_with_a_bad_field_is_left_out_whole(service: Any) -> None:
    value = value_of(
        read(
            Kind.TERMINATING_GATEWAY,
            entry(Kind.TERMINATING_GATEWAY, "out", Services=[service, {"Name": "good"}]),
        )
    )
    assert value.gateways["out"] == TerminatingGateway(name="out", services=(LinkedService(name="good"),))
    assert len(told(value)) == 1


# --- entries that are not meant, and answers that are none


def test_an_entry_of_another_kind_is_left_out_and_told() -> None:
    answer = decode_entries(Kind.SERVICE_DEFAULTS, recorded("entries-1.9-intentions"))
    assert list(answer.entries) == ["web"]
    (problem,) = answer.problems
    assert problem.code is Code.CONFIG_ENTRY
    assert '"service-intentions"' in problem.sentence
    assert problem.index == 5


@pytest.mark.parametrize(
    "bad",
    [
        7,
        {},
        {"Kind": "service-defaults"},
        entry(Kind.SERVICE_DEFAULTS, "we/../ird"),
        entry(Kind.SERVICE_DEFAULTS, "new\nline"),
        entry(Kind.SERVICE_DEFAULTS, "web"),
        entry(Kind.SERVICE_DEFAULTS, "x" * 5000),
        entry(Kind.SERVICE_DEFAULTS, "team", Namespace="blue"),
    ],
)
def test_an_entry_that_cannot_be_used_costs_itself_only(bad: Any) -> None:
    answer = read(Kind.SERVICE_DEFAULTS, entry(Kind.SERVICE_DEFAULTS, "web", Protocol="http"), bad)
    assert list(answer.entries) == ["web"]
    (problem,) = answer.problems
    assert len(problem.sentence) < 400
    assert problem.source.isprintable()


def test_only_the_global_proxy_defaults_count() -> None:
    answer = read(Kind.PROXY_DEFAULTS, entry(Kind.PROXY_DEFAULTS, "other", Config={"protocol": "http"}))
    assert not answer.entries
    assert len(answer.problems) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"nothing", b"\xff", b"[" * 100_000])
def test_what_is_no_list_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_entries(Kind.SERVICE_DEFAULTS, body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["Protocol", "Config", "UpstreamConfig", "Listeners", "Services", "TLS", "LocalConnectTimeoutMs"]
)


@given(st.sampled_from(Kind), st.dictionaries(FIELDS, JSON))
def test_no_entry_raises(kind: Kind, fields: dict[str, Any]) -> None:
    answer = read(kind, entry(kind, "global", **fields))
    assert list(answer.entries) == ["global"]
    value_of(answer)


# --- the book


def test_what_did_not_change_keeps_its_identity() -> None:
    book = EntryBook()
    web, api = (entry(Kind.SERVICE_DEFAULTS, name, Protocol="http") for name in ("web", "api"))
    first = read(Kind.SERVICE_DEFAULTS, web, api)
    book.believe(first)
    before = book.value()
    body = json.dumps([web, api]).encode()
    assert book.believe(decode_entries(Kind.SERVICE_DEFAULTS, body, first.entries)) == frozenset()
    assert book.value() is before
    changed = json.dumps([web, api | {"Protocol": "grpc", "ModifyIndex": 9}]).encode()
    assert book.believe(decode_entries(Kind.SERVICE_DEFAULTS, changed, first.entries)) == {"api"}
    after = book.value()
    assert after.overrides["web"] is before.overrides["web"]
    assert after.overrides["api"] != before.overrides["api"]


def test_a_refused_chain_leaves_the_last_good_one_and_a_default_one_takes_it_away() -> None:
    book = EntryBook()
    book.believe(read(Kind.SERVICE_SPLITTER, entry(Kind.SERVICE_SPLITTER, "web")))
    good = decode_chain("web", recorded("chain-1.8"))
    book.believe_chain("web", good)
    first = book.value().chains["web"]
    book.believe_chain("web", decode_chain("web", recorded("chain-1.8")))
    assert book.value().chains["web"] is first
    book.believe_chain("web", decode_chain("web", recorded("chain-1.8-default")))
    assert book.value().chains["web"] is first
    assert [problem.code for problem in book.value().problems] == [Code.DISCOVERY_CHAIN]
    book.give_up_chain("web", "Consul is gone.")
    assert book.value().chains["web"] is first
    assert [problem.code for problem in book.value().problems] == [Code.CONFIG_UNREADABLE]
    book.believe_chain("web", ChainAnswer())
    assert not book.value().chains
    assert book.value().problems == ()


def test_a_chain_goes_with_its_last_entry_and_not_before() -> None:
    book = EntryBook()
    book.believe(read(Kind.SERVICE_SPLITTER, entry(Kind.SERVICE_SPLITTER, "web")))
    book.believe(read(Kind.SERVICE_RESOLVER, entry(Kind.SERVICE_RESOLVER, "web")))
    book.believe_chain("web", decode_chain("web", recorded("chain-1.8")))
    book.believe(read(Kind.SERVICE_SPLITTER))
    assert list(book.value().chains) == ["web"]
    book.believe(read(Kind.SERVICE_RESOLVER))
    assert not book.value().chains
    book.believe_chain("web", decode_chain("web", recorded("chain-1.8")))  # it was on its way
    assert not book.value().chains
    assert book.unread_chains == ()


def test_it_is_settled_once_everything_was_read_or_given_up() -> None:
    book = EntryBook()
    assert len(book.unsettled) == len(Kind)
    for kind in Kind:
        book.give_up(kind, "Not now.")
    assert book.unsettled == ()
    book.believe(read(Kind.SERVICE_ROUTER, entry(Kind.SERVICE_ROUTER, "web")))
    assert book.unsettled == ("discovery chain web",)
    book.give_up_chain("web", "Not now.")
    assert book.unsettled == ()
    assert len(book.value().problems) == len(Kind)


# --- the page


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "config-entries.md"


def test_the_page_has_a_heading_for_every_kind_and_for_no_other() -> None:
    assert set(re.findall(r"^## `(.+)`$", PAGE.read_text(), re.MULTILINE)) == set(Kind)


@pytest.mark.parametrize(
    "shape",
    [
        overrides.ServiceDefaults,
        overrides.Upstream,
        overrides.LimitsShape,
        overrides.HealthShape,
        gateways.IngressListenerShape,
        gateways.LinkedShape,
        chain_shapes.HttpMatch,
        chain_shapes.HeaderCondition,
        chain_shapes.QueryCondition,
        chain_shapes.DestinationShape,
        chain_shapes.LoadBalancerShape,
        chain_shapes.SubsetShape,
    ],
)
def test_the_page_tells_every_field_that_is_read(shape: type[msgspec.Struct]) -> None:
    page = PAGE.read_text()
    assert [name for name in shape.__struct_fields__ if not re.search(rf"\b{name}\b", page)] == []
