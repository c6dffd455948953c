import pytest

from tests.translate.words.registrations import asked, codes, fields, instance, of_meta, of_tags, only, said
from xds_server.model.policy import HashKind, HashOn, LbPolicy, OnWarning, Protocol
from xds_server.model.route import PathKind, PathMatch, Retries, TextKind, TextMatch
from xds_server.translate.words.schema import OPTIONS, WORDS
from xds_server.translate.words.values import SAFE_RETRIES

EXACT, PREFIX = PathKind.EXACT, PathKind.PREFIX


def test_a_service_that_says_nothing_says_nothing():
    assert said(instance(meta={"version": "3"}, tags=["primary", "xdsx"])) == said()


VALUES = [
    ("protocol", "http", "protocol", Protocol.HTTP1),
    ("protocol", "http2", "protocol", Protocol.HTTP2),
    ("protocol", "grpc", "protocol", Protocol.GRPC),
    ("protocol", "tls", "protocol", Protocol.TCP),
    ("health", "passing", "on_warning", OnWarning.DEGRADED),
    ("health", "warning", "on_warning", OnWarning.WEIGHT),
    ("lb-policy", "least_request", "lb_policy", LbPolicy.LEAST_REQUEST),
    ("hash-on", "header:X-User", "hash_on", (HashOn(kind=HashKind.HEADER, name="x-user"),)),
    ("hash-on", "cookie:Session", "hash_on", (HashOn(kind=HashKind.COOKIE, name="Session"),)),
    ("hash-on", "source_ip", "hash_on", (HashOn(kind=HashKind.SOURCE_IP),)),
    ("connect-timeout", "250ms", "connect_timeout", 0.25),
    ("request-timeout", "1m30s", "request_timeout", 90.0),
]


@pytest.mark.parametrize(("word", "value", "field", "meaning"), VALUES)
def test_a_word_is_the_same_in_meta_and_in_a_tag(word, value, field, meaning):
    by_meta = of_meta({f"xds-{word}": value})
    by_tag = of_tags(f"xds.{word}={value}")
    by_dots = of_tags(f"xds.{word.replace('-', '.')}={value}")

    assert fields(by_meta) == fields(by_tag) == fields(by_dots) == {field: meaning}
    assert [one.source for one in by_meta.overrides] == [f'service "web" meta xds-{word}']
    assert [one.source for one in by_tag.overrides] == [f'service "web" tag xds.{word}']
    assert by_meta.problems == by_tag.problems == ()


@pytest.mark.parametrize(
    ("meta", "tags", "enabled"),
    [
        ({"xds-enable": "true"}, [], True),
        ({"xds-enable": "false"}, [], False),
        ({}, ["xds.enable"], True),
        ({}, ["xds.enable=false"], False),
        ({"xds-enable": "yes"}, [], None),
        ({}, [], None),
    ],
)
def test_a_service_opts_in_or_out(meta, tags, enabled):
    assert said(instance(meta=meta, tags=tags)).enabled is enabled


PLACES = [
    ("example.com", "example.com", PathMatch()),
    ("Example.COM/", "example.com", PathMatch()),
    ("*.example.com", "*.example.com", PathMatch()),
    ("*", "*", PathMatch()),
    ("/", "*", PathMatch()),
    ("/*", "*", PathMatch()),
    ("/api", "*", PathMatch(kind=EXACT, value="/api")),
    ("example.com/api", "example.com", PathMatch(kind=EXACT, value="/api")),
    ("example.com/api/", "example.com", PathMatch(value="/api/")),
    ("example.com/api/*", "example.com", PathMatch(value="/api/")),
    ("example.com/api*", "example.com", PathMatch(kind=PREFIX, value="/api")),
    ("*/a%20b", "*", PathMatch(kind=EXACT, value="/a%20b")),
]


@pytest.mark.parametrize(("text", "host", "path"), PLACES)
def test_a_route_is_a_host_a_path_or_both(text, host, path):
    route = only(of_meta({"xds-route": text}))

    assert (route.host, route.match.path) == (host, path)
    assert (route.priority, route.listener) == (0, "")


@pytest.mark.parametrize(
    ("place", "options", "rewrite"),
    [
        ("/api/*", {"strip": "true"}, "/"),
        ("/api/v1/*", {"strip": "/api"}, "/v1/"),
        ("/api", {"strip": "true"}, "/"),
        ("/api*", {"strip": "true"}, "/"),
        ("/api/*", {"strip": "false"}, None),
        ("/api/*", {"rewrite": "/v1"}, "/v1/"),
        ("/api*", {"rewrite": "/v1"}, "/v1"),
        ("/api", {"rewrite": "/v1"}, "/v1"),
        ("/api", {}, None),
    ],
)
def test_a_path_can_be_stripped_and_rewritten(place, options, rewrite):
    meta = {"xds-route-x": place} | {f"xds-x-{option}": value for option, value in options.items()}

    assert only(of_meta(meta)).treatment.prefix_rewrite == rewrite


def test_every_option_of_a_route_with_a_name_and_of_the_one_without():
    options = {
        "strip": "true",
        "timeout": "5s",
        "retries": "3:503,5xx,reset",
        "methods": "get, POST",
        "headers": "X-Env=prod,!x-internal,x-debug",
        "priority": "7",
        "listener": "edge",
    }
    named = {f"xds-my-api-{option}": value for option, value in options.items()}
    unnamed = {f"xds-{option}": value for option, value in options.items()}

    route = only(of_meta({"xds-route-my-api": "/api/*"} | named))

    assert route.treatment.timeout == 5.0
    assert route.treatment.retries == Retries(count=3, on=("5xx", "reset"), statuses=(503,))
    assert route.match.methods == ("GET", "POST")
    assert route.match.headers == (
        TextMatch(name="x-debug"),
        TextMatch(name="x-env", kind=TextKind.EXACT, value="prod"),
        TextMatch(name="x-internal", invert=True),
    )
    assert (route.priority, route.listener) == (7, "edge")
    assert route == only(of_meta({"xds-route": "/api/*"} | unnamed))
    assert route == only(
        of_tags("xds.route.my-api=/api/*", *(f"xds.my-api.{name}={value}" for name, value in options.items()))
    )
    assert set(options) | {"rewrite"} == set(OPTIONS)


def test_retries_without_conditions_are_safe():
    route = only(of_meta({"xds-route": "/", "xds-retries": "2"}))

    assert route.treatment.retries == Retries(count=2, on=SAFE_RETRIES)


def test_several_routes_of_one_service():
    found = asked(
        of_meta({"xds-route": "/", "xds-route-a": "/a", "xds-route-a-b": "/b", "xds-a-b-timeout": "1s"})
    )

    assert list(found) == ["", "a", "a-b"]
    assert [one[0].treatment.timeout for one in found.values()] == [None, None, 1.0]


def test_meta_goes_over_the_tags_of_the_same_registration():
    found = said(instance(meta={"xds-protocol": "grpc"}, tags=["xds.protocol=http2", "xds.health=passing"]))

    assert fields(found) == {"protocol": Protocol.GRPC, "on_warning": OnWarning.DEGRADED}
    assert codes(found.problems) == ["word-conflict"]
    assert "tag xds.protocol of the same registration says otherwise" in found.problems[0].sentence


# --- what is not understood ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meta", "meant"),
    [
        ({"xds-protcol": "grpc"}, "xds-protocol"),
        ({"xds-Protocol": "grpc"}, "xds-protocol"),
        ({"XDS-protocol": "grpc"}, "xds-protocol"),
        ({"xds-rout": "/"}, "xds-route"),
        ({"xds-route-api": "/", "xds-api-metods": "GET"}, "xds-api-methods"),
        ({"xds-route-api": "/", "xds-apo-methods": "GET"}, "xds-api-methods"),
        ({"xds-route": "/", "xds-lisener": "inner"}, "xds-listener"),
    ],
)
def test_a_misspelt_word_is_a_problem_that_says_what_may_be_meant(meta, meant):
    found = of_meta(meta)

    assert codes(found.problems) == ["word-unknown"]
    assert f'did you mean "{meant}"?' in found.problems[0].sentence
    assert not found.overrides


def test_a_misspelt_option_costs_its_route_and_no_other():
    found = of_meta({"xds-route-api": "/api", "xds-api-metods": "GET", "xds-route-b": "/b"})

    assert list(asked(found)) == ["b"]
    assert "its route is left out" in found.problems[0].sentence


def test_an_option_without_a_route_is_a_problem():
    found = of_meta({"xds-api-strip": "true", "xds-strip": "true"})

    assert codes(found.problems) == ["word-unknown", "word-unknown"]


@pytest.mark.parametrize(
    "name", ["api-timeout", "strip", "connect", "request", "a.b", "A", "-a", "a" * 33, ""]
)
def test_a_name_that_a_route_cannot_have(name):
    found = of_meta({f"xds-route-{name}": "/"})

    assert not found.wishes
    assert codes(found.problems) == ["word-invalid"]
    assert "cannot name a route" in found.problems[0].sentence


def test_a_flag_that_takes_no_value_and_a_word_that_needs_one():
    assert of_tags("xds.canary").canary == '"xds.canary" in Service.Tags'
    assert codes(of_tags("xds.protocol").problems) == ["word-invalid"]


@pytest.mark.parametrize("word", WORDS)
def test_a_value_that_no_word_has_is_not_used(word):
    found = of_meta({f"xds-{word}": "\x00"})

    assert codes(found.problems) == ["word-invalid"]
    assert (found.enabled, found.overrides, found.subsets, found.canary) == (None, (), (), "")


@pytest.mark.parametrize("option", OPTIONS)
def test_a_value_that_no_option_has_costs_the_route(option):
    found = of_meta({"xds-route": "/", f"xds-{option}": "\x00"})

    assert codes(found.problems) == ["word-invalid"]
    assert not found.wishes


def test_strip_and_rewrite_exclude_each_other():
    found = of_meta({"xds-route": "/a/", "xds-strip": "true", "xds-rewrite": "/b"})

    assert not found.wishes
    assert "has both strip and rewrite" in found.problems[0].sentence
