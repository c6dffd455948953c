import pytest

from tests.translate.words.registrations import OPEN
from xds_server.model.policy import Claim, Registrations, WeightedService
from xds_server.model.problem import Problem
from xds_server.model.route import PathKind, PathMatch, RouteMatch, Treatment
from xds_server.translate import words
from xds_server.translate.words import Asked, Granted, Wish, grant
from xds_server.translate.words.routes import place as read


def wish(place: str, name: str = "", created: int = 0, subset: str = "", listener: str = "") -> Wish:
    """Give a wish for a place as `xds-route` writes it."""
    host, path = read(place)
    route = Asked(host=host, match=RouteMatch(path=path), listener=listener)
    return Wish(name=name, route=route, subset=subset, source=f"{name or 'route'} {place}", created=created)


def claim(*hosts: str, services: tuple[str, ...] = ("*",), below: str = "/") -> Registrations:
    return Registrations(claims=(Claim(hosts=hosts, services=services, path_prefix=below),))


def winners(granted: Granted) -> dict[str, list[str]]:
    """Give the services that have each host."""
    found: dict[str, list[str]] = {}
    for routes in granted.routes.values():
        for route in routes:
            for target in route.targets:
                found.setdefault(route.hosts[0], []).append(target.service)
    return found


def only(problems: tuple[Problem, ...]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def test_without_a_claim_every_wish_is_denied_with_the_setting_that_would_allow_it():
    granted = grant({"web": (wish("a.com/x/*"),)}, Registrations(), {})

    assert not granted.routes
    problem = only(granted.problems)
    assert (problem.code, problem.source) == ("route-denied", "route a.com/x/*")
    assert '{hosts: ["a.com"], path_prefix: "/x/", services: ["web"]}' in problem.sentence


HOSTS = [
    ("a.com", "a.com", True),
    ("a.com", "b.a.com", False),
    ("*.a.com", "b.a.com", True),
    ("*.a.com", "c.b.a.com", True),
    ("*.a.com", "*.b.a.com", True),
    ("*.a.com", "*.a.com", True),
    ("*.a.com", "a.com", False),
    ("*.a.com", "xa.com", False),
    ("*.a.com", "*", False),
    ("a.com", "*.a.com", False),
    ("*", "a.com", True),
    ("*", "*", True),
    ("*", "*.a.com", True),
    ("a.com", "*", False),
    # What other services are called is only in a claim that names it.
    ("*", "payments", False),
    ("*", "payments.service.consul", False),
    ("*", "*.consul", False),
    ("*", "*.service.consul", False),
    ("*.service.consul", "payments.service.consul", False),
    ("*.com", "*.com", True),
    ("payments", "payments", True),
    ("payments.service.consul", "payments.service.consul", True),
    ("*.service.consul", "*.service.consul", True),
]


@pytest.mark.parametrize(("claimed", "host", "has"), HOSTS)
def test_a_claim_has_a_host_or_not(claimed, host, has):
    granted = grant({"web": (wish(host),)}, claim(claimed), {})

    assert (host in winners(granted)) is has


PATHS = [
    ("/", "a.com", True),
    ("/", "a.com/x", True),
    ("/api", "a.com", False),
    ("/api", "a.com/api", True),
    ("/api", "a.com/api/", True),
    ("/api", "a.com/api/v1*", True),
    ("/api", "a.com/apis", False),
    ("/api", "a.com/api*", False),  # has /apis
    ("/api/", "a.com/api", False),
    ("/api/", "a.com/api/*", True),
]


@pytest.mark.parametrize(("below", "place", "has"), PATHS)
def test_a_claim_has_a_path_or_not(below, place, has):
    granted = grant({"web": (wish(place),)}, claim("a.com", below=below), {})

    assert bool(granted.routes) is has


def test_a_claim_is_for_the_services_it_names():
    wishes = {"web": (wish("a.com/1"),), "rogue": (wish("a.com/2"),)}

    granted = grant(wishes, claim("a.com", services=("web", "shop")), {})

    assert winners(granted) == {"a.com": ["web"]}
    assert only(granted.problems).source == "route a.com/2"


def test_a_granted_route_has_all_that_was_asked_for():
    asked = Asked(
        host="a.com",
        match=RouteMatch(path=PathMatch(kind=PathKind.EXACT, value="/x"), methods=("GET",)),
        treatment=Treatment(prefix_rewrite="/y", timeout=3.0),
        priority=5,
        listener="edge",
    )
    granted = grant({"web": (Wish(name="x", route=asked, subset="v2", source="s"),)}, OPEN, {})

    (route,) = granted.routes["edge"]
    assert route.hosts == ("a.com",)
    assert (route.match, route.treatment, route.priority) == (asked.match, asked.treatment, 5)
    assert route.targets == (WeightedService(service="web", subset="v2"),)
    assert route.source == "s"


def test_a_contested_place_goes_to_the_first_registered_then_to_the_first_by_name():
    early, late, unknown = wish("a.com", created=5), wish("a.com", created=9), wish("a.com")

    assert winners(grant({"a": (late,), "z": (early,)}, OPEN, {})) == {"a.com": ["z"]}
    assert winners(grant({"a": (unknown,), "z": (late,)}, OPEN, {})) == {"a.com": ["z"]}
    assert winners(grant({"a": (unknown,), "z": (unknown,)}, OPEN, {})) == {"a.com": ["a"]}


def test_the_owner_keeps_a_place_as_long_as_it_asks_for_it():
    first = grant({"web": (wish("a.com", created=9),)}, OPEN, {})
    both = {"web": (wish("a.com", created=9),), "early": (wish("a.com", created=1),)}
    second = grant(both, OPEN, first.owners)

    assert winners(second) == {"a.com": ["web"]}
    problem = only(second.problems)
    assert problem.code == "route-contested"
    assert 'belongs to service "web"' in problem.sentence
    assert 'service "early" does not get it' in problem.sentence
    third = grant({"early": both["early"]}, OPEN, second.owners)
    assert winners(third) == {"a.com": ["early"]}
    assert winners(grant(both, OPEN, third.owners)) == {"a.com": ["early"]}


def test_the_owner_loses_what_is_no_longer_allowed():
    owners = grant({"web": (wish("a.com"),)}, OPEN, {}).owners

    granted = grant(
        {"web": (wish("a.com"),), "shop": (wish("a.com"),)}, claim("a.com", services=("shop",)), owners
    )

    assert winners(granted) == {"a.com": ["shop"]}


def test_every_listener_is_one_place_with_each_of_them():
    wishes = {"a": (wish("a.com", created=2),), "b": (wish("a.com", created=1, listener="edge"),)}

    granted = grant(wishes, OPEN, {})

    assert list(granted.routes) == ["edge"]
    apart = {"a": (wish("a.com", listener="one"),), "b": (wish("a.com", listener="two"),)}
    assert list(grant(apart, OPEN, {}).routes) == ["one", "two"]


def test_a_service_that_asks_for_one_place_twice_gets_it_once():
    granted = grant({"web": (wish("a.com", subset="v2", name="x"), wish("a.com", name="y"))}, OPEN, {})

    (route,) = granted.routes[""]
    assert route.targets == (WeightedService(service="web"),)
    assert "asks for host" in only(granted.problems).sentence


def test_the_order_of_the_wishes_decides_nothing():
    wishes = {
        name: tuple(wish(place, created=created) for place in ("a.com", "b.com/x", "c.com"))
        for name, created in (("a", 3), ("b", 2), ("c", 2))
    }
    backwards = {name: wishes[name][::-1] for name in reversed(wishes)}

    one, other = grant(wishes, OPEN, {}), grant(backwards, OPEN, {})

    assert (one.routes, one.owners, set(one.problems)) == (other.routes, other.owners, set(other.problems))
    assert words.grant({}, OPEN, one.owners) == Granted(routes={}, owners={})
    assert words.grant(wishes, OPEN, one.owners).owners is one.owners
