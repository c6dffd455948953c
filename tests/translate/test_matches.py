"""What a request must be like, as exact Envoy messages."""

import pytest
from envoy.config.route.v3.route_components_pb2 import RouteMatch as EnvoyMatch
from google.protobuf.json_format import ParseDict

from xds_server.model.route import PathKind, PathMatch, RouteMatch, TextKind, TextMatch
from xds_server.translate.matches import route_match


def path(kind, value, **more):
    return RouteMatch(path=PathMatch(kind=kind, value=value, **more))


def header(kind, value="", **more):
    return RouteMatch(headers=(TextMatch(name="x-a", kind=kind, value=value, **more),))


def parameter(kind, value=""):
    return RouteMatch(query=(TextMatch(name="q", kind=kind, value=value),))


def header_like(**given):
    return {"prefix": "/", "headers": [{"name": "x-a", **given}]}


def parameter_like(**given):
    return {"prefix": "/", "query_parameters": [{"name": "q", **given}]}


MATCHES = {
    "anything": (RouteMatch(), {"prefix": "/"}),
    "exact": (path(PathKind.EXACT, "/a"), {"path": "/a"}),
    "prefix": (path(PathKind.PREFIX, "/a"), {"prefix": "/a"}),
    "segments": (path(PathKind.SEGMENTS, "/a"), {"path_separated_prefix": "/a"}),
    "segments with a slash": (path(PathKind.SEGMENTS, "/a/"), {"prefix": "/a/"}),
    "regex": (path(PathKind.REGEX, "/a[0-9]"), {"safe_regex": {"regex": "/a[0-9]"}}),
    "exact, any case": (
        path(PathKind.EXACT, "/a", ignore_case=True),
        {"path": "/a", "case_sensitive": False},
    ),
    "segments, any case": (
        path(PathKind.SEGMENTS, "/a", ignore_case=True),
        {"path_separated_prefix": "/a", "case_sensitive": False},
    ),
    "regex, any case": (
        path(PathKind.REGEX, "/a", ignore_case=True),
        {"safe_regex": {"regex": "(?i)/a"}},
    ),
    "header there": (header(TextKind.PRESENT), header_like(present_match=True)),
    "header not there": (
        header(TextKind.PRESENT, invert=True),
        header_like(present_match=True, invert_match=True),
    ),
    "header exact": (header(TextKind.EXACT, "v"), header_like(string_match={"exact": "v"})),
    "header empty": (header(TextKind.EXACT), header_like(string_match={"exact": ""})),
    "header prefix": (header(TextKind.PREFIX, "v"), header_like(string_match={"prefix": "v"})),
    "header suffix": (header(TextKind.SUFFIX, "v"), header_like(string_match={"suffix": "v"})),
    "header contains": (header(TextKind.CONTAINS, "v"), header_like(string_match={"contains": "v"})),
    "header regex": (
        header(TextKind.REGEX, "v.*"),
        header_like(string_match={"safe_regex": {"regex": "v.*"}}),
    ),
    "header not": (
        header(TextKind.EXACT, "v", invert=True),
        header_like(string_match={"exact": "v"}, invert_match=True),
    ),
    "header with any beginning": (header(TextKind.PREFIX), header_like(present_match=True)),
    "parameter there": (parameter(TextKind.PRESENT), parameter_like(present_match=True)),
    "parameter exact": (parameter(TextKind.EXACT, "1"), parameter_like(string_match={"exact": "1"})),
    "parameter regex": (
        parameter(TextKind.REGEX, "[0-9]"),
        parameter_like(string_match={"safe_regex": {"regex": "[0-9]"}}),
    ),
    "parameter with anything in it": (parameter(TextKind.CONTAINS), parameter_like(present_match=True)),
    "one method": (
        RouteMatch(methods=("GET",)),
        {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
    ),
    "two methods": (
        RouteMatch(methods=("GET", "HEAD")),
        {
            "prefix": "/",
            "headers": [{"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}],
        },
    ),
    "all of it": (
        RouteMatch(
            path=PathMatch(kind=PathKind.EXACT, value="/a"),
            headers=(TextMatch(name="x-a"), TextMatch(name="x-b", kind=TextKind.EXACT, value="1")),
            query=(TextMatch(name="q"),),
            methods=("POST",),
        ),
        {
            "path": "/a",
            "headers": [
                {"name": "x-a", "present_match": True},
                {"name": "x-b", "string_match": {"exact": "1"}},
                {"name": ":method", "string_match": {"exact": "POST"}},
            ],
            "query_parameters": [{"name": "q", "present_match": True}],
        },
    ),
}


@pytest.mark.parametrize("shape", MATCHES)
def test_a_match_in_envoys_words(shape):
    match, expected = MATCHES[shape]
    assert route_match(match) == ParseDict(expected, EnvoyMatch())
