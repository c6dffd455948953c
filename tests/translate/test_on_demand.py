from dataclasses import replace
from typing import Any

import pytest

from tests.rig.catalogs import catalog, drafts, instance, service
from xds_server.model.catalog import Catalog
from xds_server.model.policy import (
    DEFAULT_LISTENER,
    Discovery,
    Listener,
    ListenerKind,
    Policy,
    Protocol,
    Route,
    ServicePolicy,
    WeightedService,
)
from xds_server.model.proxy import Group
from xds_server.model.route import RouteMatch
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.translate import Translation, Translator
from xds_server.translate.render import to_dict, unpack

pytestmark = pytest.mark.shows("P-084")

LAZY = replace(DEFAULT_LISTENER, discovery=Discovery.ON_DEMAND)
TCP = Listener(
    name="tcp", address="127.0.0.1", port=1, kind=ListenerKind.TCP, targets=(WeightedService(service="db"),)
)


def http(name: str = "own", discovery: Discovery = Discovery.ON_DEMAND, **fields: Any) -> Listener:
    return Listener(name=name, address="127.0.0.1", port=2, discovery=discovery, **fields)


def route(*hosts: str, to: str, prefix: str = "/") -> Route:
    return Route(
        hosts=hosts, match=RouteMatch.below(prefix), targets=(WeightedService(service=to),), source="routes"
    )


def translate(found: Catalog, *listeners: Listener, delta: bool = True, **policy: Any) -> Translation:
    wanted = Policy(listeners=listeners, **policy)
    return Translator(Group(on_demand=delta)).translate(found, wanted, Secrets())


def snapshot(found: Catalog, *listeners: Listener, delta: bool = True, **policy: Any) -> Snapshot:
    translation = translate(found, *listeners, delta=delta, **policy)
    return build(translation.drafts, translation.problems, EMPTY)


def shown(made: Snapshot, type_url: TypeUrl, name: str) -> dict[str, Any]:
    return to_dict(unpack(type_url, made.sets[type_url].by_name[name].packed))


def wildcard(made: Snapshot) -> set[str]:
    return set(made.sets[TypeUrl.CLUSTER].wildcard)


def test_nothing_of_the_services_is_covered_by_a_wildcard() -> None:
    made = snapshot(catalog(service("user"), service("order")), LAZY)

    assert wildcard(made) == set()
    assert set(made.sets[TypeUrl.CLUSTER].by_name) == {"user", "order"}
    hosts = made.sets[TypeUrl.VIRTUAL_HOST]
    assert set(hosts.by_name) == {
        f"default:on-demand/{name}{end}"
        for name in ("user", "order")
        for end in ("", ".service.consul", ".service.dc1.consul")
    }
    assert not hosts.wildcard
    assert made.problems == ()


def test_a_virtual_host_is_named_after_its_only_domain() -> None:
    made = snapshot(catalog(service("user")), LAZY)

    for name in made.sets[TypeUrl.VIRTUAL_HOST].by_name:
        host = shown(made, TypeUrl.VIRTUAL_HOST, name)
        assert (host["name"], host["domains"]) == (name, [name.partition("/")[2]])
        assert [one["route"]["cluster"] for one in host["routes"]] == ["user"]


@pytest.mark.shows("P-081")
def test_envoy_is_not_to_wait_for_its_first_virtual_hosts() -> None:
    source = shown(snapshot(catalog(), LAZY), TypeUrl.ROUTES, "default:on-demand")["vhds"]["config_source"]

    assert source["initial_fetch_timeout"] == "0.001s"
    assert "ads" in source


def test_a_client_that_cannot_ask_has_everything_at_once() -> None:
    found = catalog(service("user"), service("order"))
    made, plain = snapshot(found, LAZY, delta=False), snapshot(found, DEFAULT_LISTENER)

    assert {type_url: made.sets[type_url].version for type_url in TypeUrl} == {
        type_url: plain.sets[type_url].version for type_url in TypeUrl
    }


HTTP = {"user", "order"}
WHOLE = http(discovery=Discovery.ALL, all_services=True)
ROUTED = http(discovery=Discovery.ALL, routes=(route("*", to="order"),))
EAGER = [
    ("another listener for every service", (LAZY, WHOLE), HTTP),
    ("a TCP listener", (LAZY, TCP), {"db"}),
    ("a route", (LAZY, ROUTED), {"order"}),
    ("nothing but on-demand listeners", (LAZY, http(routes=(route("*", to="order"),))), set()),
    ("no on-demand listener", (ROUTED,), {*HTTP, "db"}),
]


@pytest.mark.parametrize(("listeners", "wanted"), [one[1:] for one in EAGER], ids=[one[0] for one in EAGER])
def test_a_cluster_that_another_listener_leads_to_is_there_before_it_is_asked_for(
    listeners: tuple[Listener, ...], wanted: set[str]
) -> None:
    found = catalog(service("user"), service("order"), service("db"))

    made = snapshot(found, *listeners, services={"db": ServicePolicy(protocol=Protocol.TCP)})

    assert wildcard(made) == wanted
    assert set(made.sets[TypeUrl.CLUSTER].by_name) == {"user", "order", "db"}


def test_what_the_operator_claims_is_in_the_routes_and_cannot_be_asked_for() -> None:
    listener = http(all_services=True, routes=(route("user", "shop.test", to="order", prefix="/a"),))

    made = snapshot(catalog(service("user"), service("order")), listener)

    inline = shown(made, TypeUrl.ROUTES, "own:on-demand")["virtual_hosts"]
    assert [host["domains"] for host in inline] == [["shop.test"], ["user"]]
    # A path that no route takes must not look like a host that is unknown.
    assert [one["routes"][-1]["direct_response"] for one in inline] == [{"status": 404}] * 2
    asked = set(made.sets[TypeUrl.VIRTUAL_HOST].by_name)
    assert "own:on-demand/user" not in asked
    assert "own:on-demand/user.service.consul" in asked


def test_a_listener_without_all_services_asks_for_clusters_only() -> None:
    made = snapshot(catalog(service("user")), http(routes=(route("a.test", to="user"),)))

    assert "vhds" not in shown(made, TypeUrl.ROUTES, "own:on-demand")
    assert not made.sets[TypeUrl.VIRTUAL_HOST].by_name
    assert wildcard(made) == set()
    assert "local_reply_config" not in str(shown(made, TypeUrl.LISTENER, "own"))


def test_one_new_service_costs_its_own_virtual_hosts_and_no_listener_or_route() -> None:
    translator, policy = Translator(Group(on_demand=True)), Policy(listeners=(LAZY,))
    ones = [service(f"s{number}") for number in range(20)]
    first = translator.translate(catalog(*ones), policy, Secrets())
    before = build(first.drafts, first.problems, EMPTY)
    second = translator.translate(catalog(*ones, service("new")), policy, Secrets())
    after = build(second.drafts, second.problems, before)

    kept = drafts(first, TypeUrl.VIRTUAL_HOST)
    assert all(drafts(second, TypeUrl.VIRTUAL_HOST)[name] is draft for name, draft in kept.items())
    changed = after.may_differ(before)
    assert set(changed) == {TypeUrl.CLUSTER, TypeUrl.ENDPOINTS, TypeUrl.VIRTUAL_HOST}
    assert len(changed[TypeUrl.VIRTUAL_HOST]) == 3


def test_one_changed_instance_costs_no_virtual_host() -> None:
    translator, policy = Translator(Group(on_demand=True)), Policy(listeners=(LAZY,))
    user, order = service("user"), service("order")
    before = translator.translate(catalog(user, order), policy, Secrets())
    moved = service("user", instance("user-1", port=8081))
    after = translator.translate(catalog(moved, order), policy, Secrets())

    for type_url in (TypeUrl.VIRTUAL_HOST, TypeUrl.CLUSTER, TypeUrl.ROUTES, TypeUrl.LISTENER):
        assert drafts(after, type_url) == drafts(before, type_url)


def test_a_domain_that_moves_to_another_service_leads_there() -> None:
    other = service("user.service.consul")
    alone = snapshot(catalog(other), LAZY)
    both = snapshot(catalog(other, service("user")), LAZY)

    name = "default:on-demand/user.service.consul"
    for made, cluster in ((alone, "user.service.consul"), (both, "user")):
        routes = shown(made, TypeUrl.VIRTUAL_HOST, name)["routes"]
        assert [one["route"]["cluster"] for one in routes] == [cluster]
