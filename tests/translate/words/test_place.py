import pytest

from tests.translate.words.registrations import OPEN, codes, of_meta
from xds_server.model.policy import (
    Claim,
    Discovery,
    Listener,
    ListenerKind,
    Registrations,
    Route,
    WeightedService,
)
from xds_server.model.route import RouteMatch
from xds_server.translate.words import Granted, grant, placed


def listener(name: str = "edge", *routes: Route, **rest: object) -> Listener:
    return Listener(**{"name": name, "address": "0.0.0.0", "port": 1, "routes": routes, **rest})


def operators(host: str, path: str = "/") -> Route:
    target = (WeightedService(service="own"),)
    return Route(hosts=(host,), match=RouteMatch.below(path), targets=target, source="x.yaml routes[0]")


def granted(**meta: str) -> Granted:
    return grant(
        {"web": of_meta({f"xds-{word.replace('_', '-')}": text for word, text in meta.items()}).wishes},
        OPEN,
        {},
    )


def hosts(one: Listener) -> list[str]:
    return [host for route in one.routes for host in route.hosts]


def test_a_route_without_a_listener_goes_on_each_with_all_services():
    before = (listener("a", all_services=True), listener("b"), listener("c", all_services=True))

    after, problems = placed(before, granted(route="a.com"))

    assert [hosts(one) for one in after] == [["a.com"], [], ["a.com"]]
    assert after[1] is before[1]
    assert problems == ()


def test_a_route_with_a_listener_goes_on_that_one():
    after, problems = placed(
        (listener("a", all_services=True), listener("b")), granted(route="a.com", listener="b")
    )

    assert [hosts(one) for one in after] == [[], ["a.com"]]
    assert problems == ()


@pytest.mark.parametrize(
    ("meta", "part"),
    [
        ({"route": "a.com", "listener": "edg"}, 'no HTTP listener "edg"'),
        ({"route": "a.com", "listener": "db"}, 'no HTTP listener "db"'),
        ({"route": "a.com"}, "no listener has all_services"),
    ],
)
def test_a_route_for_a_listener_that_is_not_there_is_a_problem(meta, part):
    before = (listener("edge"), listener("db", kind=ListenerKind.TCP))

    after, problems = placed(before, granted(**meta))

    assert after == before
    assert codes(problems) == ["route-unknown-listener"]
    assert part in problems[0].sentence


def test_the_operators_own_route_for_the_same_place_stays_alone():
    before = (listener("edge", operators("a.com", "/x/")),)

    after, problems = placed(before, granted(route="a.com/x/*", listener="edge"))

    assert after == before
    assert codes(problems) == ["route-contested"]
    assert "belongs to x.yaml routes[0]" in problems[0].sentence


@pytest.mark.parametrize(("host", "priority"), [("a.com", 0), ("b.com", 9)])
def test_a_priority_does_not_go_over_the_operators_routes(host, priority):
    (after,), problems = placed(
        (listener("edge", operators("a.com")),), granted(route=f"{host}/x", priority="9", listener="edge")
    )

    assert [route.priority for route in after.routes] == [0, priority]
    assert problems == ()


@pytest.mark.parametrize(("host", "hides"), [("*", True), ("*.service.consul", True), ("*.a.com", False)])
def test_a_route_that_would_hide_services_is_not_placed_on_demand(host, hides):
    before = (listener("edge", all_services=True, discovery=Discovery.ON_DEMAND),)
    wishes = {"web": of_meta({"xds-route": host}).wishes}
    allowed = Registrations(claims=(Claim(hosts=(host,), services=("*",)),))

    after, problems = placed(before, grant(wishes, allowed, {}))

    assert hosts(after[0]) == ([] if hides else [host])
    assert codes(problems) == (["route-denied"] if hides else [])
