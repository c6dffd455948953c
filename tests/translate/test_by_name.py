from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.rig.catalogs import catalog, instance, service
from xds_server.model.catalog import Catalog
from xds_server.model.policy import (
    DEFAULT_LISTENER,
    LbPolicy,
    Policy,
    Protocol,
    Route,
    ServicePolicy,
    WeightedService,
)
from xds_server.model.proxy import Group
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.translate import Translation, Translator
from xds_server.translate.by_name import named
from xds_server.translate.render import to_dict, unpack

TELLS = Group(static_clusters=("statsd", "xds_cluster"))
SILENT = Group()

SERVICES = (
    "user",
    "USER",
    "Web",
    "a.b",
    "user.service.consul",
    "user.service",
    "user.service.dc1",
    "x.internal.y",
    "db",
    "greeter",
    "ring",
    "ext.example.com",
    "statsd",
    "xds_cluster",
    "consul",
)
SPECIAL = {
    "db": ServicePolicy(protocol=Protocol.TCP),
    "greeter": ServicePolicy(protocol=Protocol.GRPC),
    "ring": ServicePolicy(lb_policy=LbPolicy.MAGLEV),
}
CLAIMS = ("user", "*.example.com", "*.dc1.consul", "a.*", "*", "own.example.org", "xds_cluster")
ENDS = ("", ".service.consul", ".service.dc1.consul", ".service.dc2.consul", ".service.service.consul")


def policy(*claims: str) -> Policy:
    targets = (WeightedService(service="target"),)
    routes = tuple(Route(hosts=(host,), targets=targets, source="route") for host in claims)
    return Policy(services=SPECIAL, listeners=(replace(DEFAULT_LISTENER, routes=routes),))


def translated(group: Group, found: Catalog, wanted: Policy) -> Translation:
    return Translator(group).translate(found, wanted, Secrets())


def hosts(made: Translation) -> list[dict[str, Any]]:
    packed = made.drafts[TypeUrl.ROUTES]["default"].packed
    return list(to_dict(unpack(TypeUrl.ROUTES, packed))["virtual_hosts"])


def match(found: Iterable[dict[str, Any]], asked: str) -> dict[str, Any]:
    """Find the virtual host of a Host header as Envoy does (VirtualHost.domains)."""
    by_domain = {domain: host for host in found for domain in host["domains"]}
    if asked in by_domain:
        return by_domain[asked]
    suffixes = [one for one in by_domain if one[0] == "*" and one != "*" and asked.endswith(one[1:])]
    prefixes = [one for one in by_domain if one[-1] == "*" and one != "*" and asked.startswith(one[:-1])]
    for some in (suffixes, prefixes):
        if some:
            return by_domain[max(some, key=len)]
    return by_domain["*"]


def answers(made: Translation, datacenter: str, asked: Iterable[str]) -> dict[str, object]:
    """Give the cluster that each Host header leads to, or None where there is none."""
    found, there = hosts(made), {*made.drafts[TypeUrl.CLUSTER], "statsd", "xds_cluster"}
    given: dict[str, object] = {}
    for one in asked:
        host, cluster = match(found, one), named(one, datacenter)
        if host["name"] == "service-by-name":
            given[one] = cluster if cluster in there else None
        else:
            given[one] = host["routes"][0].get("route", {}).get("cluster")
    return given


@settings(max_examples=40)
@given(
    present=st.frozensets(st.sampled_from(SERVICES)),
    departed=st.frozensets(st.sampled_from(SERVICES), max_size=3),
    claims=st.frozensets(st.sampled_from(CLAIMS), max_size=3),
    datacenter=st.sampled_from(["dc1", "service", "a.service", "no name!", "DC1"]),
)
@example(frozenset({"user.service.dc1"}), frozenset(), frozenset(), "dc1")
@example(frozenset({"user.service.consul"}), frozenset({"user"}), frozenset(), "dc1")
@example(frozenset({"db", "user"}), frozenset(), frozenset({"*.dc1.consul"}), "dc1")
def test_every_host_leads_where_it_does_with_a_virtual_host_for_each_service(
    present: frozenset[str], departed: frozenset[str], claims: frozenset[str], datacenter: str
) -> None:
    services = [service(name, instance("one")) for name in present - departed]
    gone = [replace(service(name), departed=True) for name in departed]
    target = service("target", instance("one"))
    found = Catalog.of(datacenter, (*services, *gone, target))
    wanted = policy(*sorted(claims))
    plain, by_name = translated(SILENT, found, wanted), translated(TELLS, found, wanted)
    assert plain.problems == by_name.problems
    ends = (*ENDS, f".service.{datacenter.lower()}.consul")
    asked = [name.lower() + end for name in (*SERVICES, "target", "nobody") for end in ends]
    assert answers(plain, datacenter, asked) == answers(by_name, datacenter, asked)


def names(made: Translation) -> list[str]:
    return [host["name"] for host in hosts(made)]


def test_a_service_more_leaves_listener_and_routes_the_very_same() -> None:
    translator, wanted = Translator(TELLS), policy("own.example.org")
    some = [service(name, instance("one")) for name in ("user", "greeter", "target")]
    before = translator.translate(catalog(*some), wanted, Secrets())

    after = translator.translate(catalog(*some, service("new", instance("one"))), wanted, Secrets())

    for type_url in (TypeUrl.ROUTES, TypeUrl.LISTENER):
        assert after.drafts[type_url]["default"] is before.drafts[type_url]["default"]
    assert "new" in after.drafts[TypeUrl.CLUSTER]


def test_only_what_is_reached_in_another_way_has_a_virtual_host_of_its_own() -> None:
    some = [service(name, instance("one")) for name in ("user", "db", "greeter", "ring", "Web")]

    made = translated(TELLS, catalog(*some), policy())

    assert names(made) == [
        "service/Web",
        "service/greeter",
        "service/ring",
        "no-such-service",
        "service-by-name",
    ]
    (refused,) = [host for host in hosts(made) if host["name"] == "no-such-service"]
    assert {domain for domain in refused["domains"] if "." not in domain} == {
        "db",
        "greeter",
        "ring",
        "statsd",
        "xds_cluster",
    } - {"greeter", "ring"}


def test_what_most_services_have_in_common_is_for_the_operator_to_say() -> None:
    some = [service(name, instance("one")) for name in ("user", "greeter")]
    wanted = replace(policy(), defaults=ServicePolicy(protocol=Protocol.GRPC))

    made = translated(TELLS, catalog(*some), wanted)

    assert names(made) == ["no-such-service", "service-by-name"]
    assert hosts(made)[-1]["routes"][0]["route"]["timeout"] == "0s"


def test_a_listener_without_services_of_its_own_sees_only_what_it_leads_to() -> None:
    only = replace(DEFAULT_LISTENER, all_services=False, routes=policy("own.example.org").listeners[0].routes)
    translator, wanted = Translator(SILENT), Policy(listeners=(only,))
    target = service("target", instance("one"))
    before = translator.translate(catalog(target), wanted, Secrets())

    after = translator.translate(catalog(target, service("new", instance("one"))), wanted, Secrets())

    assert after.drafts[TypeUrl.ROUTES]["default"] is before.drafts[TypeUrl.ROUTES]["default"]


@pytest.mark.parametrize("datacenter", ['"}', "dc 1", "", "x\n"])
def test_a_datacenter_that_is_no_name_is_not_in_the_code(datacenter: str) -> None:
    found = Catalog.of(datacenter, [service("user", instance("one"))])

    made = translated(TELLS, found, policy())

    code = str(hosts(made)[-1])
    assert 'suffixes = {".service.consul"}' in code
