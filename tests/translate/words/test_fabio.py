import pytest

from tests.translate.words.registrations import codes, fields, instance, of_tags, only, said
from xds_server.model.policy import Dialect, Protocol
from xds_server.model.route import PathKind, PathMatch

PREFIX = PathKind.PREFIX


def test_tags_of_fabio_mean_nothing_without_the_dialect():
    found = said(instance(tags=["urlprefix-/"]), dialects=frozenset({Dialect.TRAEFIK}))

    assert found == said()


ROUTES = [
    ("urlprefix-/css", "*", PathMatch(kind=PREFIX, value="/css"), None),
    ("urlprefix-/", "*", PathMatch(), None),
    ("urlprefix-i.com/static", "i.com", PathMatch(kind=PREFIX, value="/static"), None),
    ("urlprefix-I.com/", "i.com", PathMatch(), None),
    ("urlprefix-*.i.com/", "*.i.com", PathMatch(), None),
    ("urlprefix-/foo/bar strip=/foo", "*", PathMatch(kind=PREFIX, value="/foo/bar"), "/bar"),
    ("urlprefix-/foo strip=/foo", "*", PathMatch(kind=PREFIX, value="/foo"), "/"),
    ("urlprefix-/foo/ strip=/foo", "*", PathMatch(value="/foo/"), "/"),
    ("urlprefix-/bar prepend=/foo", "*", PathMatch(kind=PREFIX, value="/bar"), "/foo/bar"),
    ("urlprefix-/ prepend=/foo", "*", PathMatch(), "/foo/"),
    ("urlprefix-/bar prepend=/baz strip=/bar", "*", PathMatch(kind=PREFIX, value="/bar"), "/baz"),
    ("urlprefix-/pkg.Svc/Call proto=grpc", "*", PathMatch(kind=PREFIX, value="/pkg.Svc/Call"), None),
    ("urlprefix-/x   proto=http", "*", PathMatch(kind=PREFIX, value="/x"), None),
]


@pytest.mark.parametrize(("tag", "host", "path", "rewrite"), ROUTES)
def test_a_tag_is_a_route(tag, host, path, rewrite):
    found = of_tags(tag)
    route = only(found)

    assert (route.host, route.match.path, route.treatment.prefix_rewrite) == (host, path, rewrite)
    assert found.enabled is True
    assert found.problems == ()


def test_the_protocol_of_a_route_is_that_of_the_service():
    assert fields(of_tags("urlprefix-/x proto=grpc")) == {"protocol": Protocol.GRPC}


def test_a_tcp_route_makes_the_service_tcp_and_says_what_opens_the_port():
    found = of_tags("urlprefix-:3306 proto=tcp")

    assert fields(found) == {"protocol": Protocol.TCP}
    assert not found.wishes
    assert codes(found.problems) == ["dialect-unsupported"]
    assert "add a listener with protocol tcp" in found.problems[0].sentence


@pytest.mark.parametrize("option", ["host=dst", "register=x", "weight=.5", "tlsskipverify=true"])
def test_an_option_that_restricts_nothing_is_listed_and_the_route_served(option):
    found = of_tags(f"urlprefix-/x {option}")

    assert len(found.wishes) == 1
    assert codes(found.problems) == ["dialect-unsupported"]
    assert option.partition("=")[0] in found.problems[0].sentence


CLOSED = [
    "urlprefix-/x allow=ip:10.0.0.0/8",
    "urlprefix-/x deny=ip:10.0.0.0/8",
    "urlprefix-/x auth=basic",
    "urlprefix-/x redirect=301,https://example.com/",
    "urlprefix-/x newthing=1",
    "urlprefix-/x Allow=ip:10.0.0.0/8",
    "urlprefix-/x proto=https",
    "urlprefix-/x proto=grpcs",
    "urlprefix-/x proto=tcp+sni",
    "urlprefix-/x strip=/y",
    "urlprefix-/x strip=y",
    "urlprefix-/x prepend=/%2e%2e",
    "urlprefix-i.com",
    "urlprefix-i.com:80/",
    "urlprefix-/a/*/b",
    "urlprefix-/${DC}/x",
    "urlprefix-",
    "urlprefix- ",
    "urlprefix-http://i.com/",
]


@pytest.mark.parametrize("tag", CLOSED)
def test_what_is_not_understood_or_restricts_a_route_closes_it(tag):
    found = of_tags(tag)

    assert not found.wishes
    assert codes(found.problems) == ["dialect-unsupported"]
    assert "left out" in found.problems[0].sentence


def test_a_route_that_one_instance_restricts_is_served_for_none():
    open_, closed = (
        instance("a", tags=["urlprefix-/x"]),
        instance("b", tags=["urlprefix-/x deny=ip:10.0.0.1"]),
    )

    assert len(said(open_).wishes) == 1
    assert not said(open_, closed).wishes
    assert not said(instance("a", tags=["urlprefix-/x", "urlprefix-/x allow=ip:10.0.0.1"])).wishes


def test_our_own_words_go_over_fabios():
    found = said(
        instance(meta={"xds-enable": "false", "xds-protocol": "http2"}, tags=["urlprefix-/x proto=grpc"])
    )

    assert found.enabled is False
    assert fields(found) == {"protocol": Protocol.HTTP2}
