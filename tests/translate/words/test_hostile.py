"""Registrations of people who mean harm, or mistype; the numbers are those of our catalogue of bad input."""

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.translate.words.registrations import BOTH, OPEN, codes, instance, of_meta, of_tags, said
from xds_server.model.catalog import Instance, Service, Status, Weights
from xds_server.model.policy import Registrations
from xds_server.model.route import PathKind, TextKind
from xds_server.translate import words
from xds_server.translate.filters import compiled
from xds_server.translate.regex_size import MOST, program_size
from xds_server.translate.words import Asked, Words
from xds_server.translate.words.schema import OPTIONS, WORDS

HOST = re.compile(r"\*|(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()+,;=:@/-]|%[0-9A-Fa-f]{2})*")


def is_clean(route: Asked) -> bool:
    """Tell whether nothing in a route can do more than stand for itself."""
    match, treatment = route.match, route.treatment
    paths = [match.path.value, treatment.prefix_rewrite or "/"]
    return (
        HOST.fullmatch(route.host) is not None
        and all(PATH.fullmatch(one) and ".." not in one.split("/") for one in paths)
        and match.path.kind in (PathKind.EXACT, PathKind.PREFIX, PathKind.SEGMENTS)
        and "%" not in paths[1]
        and all(one.kind in (TextKind.EXACT, TextKind.PRESENT) for one in (*match.headers, *match.query))
        and all((one.name + one.value).isprintable() for one in (*match.headers, *match.query))
        and all(one.isascii() and one.isupper() for one in match.methods)
        and program_size("|".join(match.methods)) <= MOST
        and (treatment.timeout is None or 0.001 <= treatment.timeout <= 3600)
        and (treatment.retries is None or 0 <= treatment.retries.count <= 10)
        and abs(route.priority) <= 1_000_000
        and treatment.request == treatment.response == type(treatment.request)()
    )


def check(found: Words) -> None:
    """Check all that holds for whatever was registered."""
    assert all(is_clean(wish.route) for wish in found.wishes)
    assert len(found.wishes) <= 64
    assert len(found.subsets) <= 16
    assert len(found.problems) <= 51
    for problem in found.problems:
        assert problem.sentence.isascii()
        assert problem.sentence.isprintable()
        assert problem.source.isascii()
        assert problem.source.isprintable()
        assert len(problem.sentence) < 700
        assert len(problem.source) < 700
    for override in found.overrides:
        assert override.source.isprintable()
        if isinstance(override.value, float):
            assert math.isfinite(override.value)
    for filter_ in [*(text for _, text in found.subsets), *filter(None, [found.canary])]:
        compiled(filter_)


# --- 47 to 58 ----------------------------------------------------------------------------------------


def test_47_a_weight_in_a_tag_is_no_number():
    found = of_tags("traefik.http.services.web.loadbalancer.server.weight=heavy", "urlprefix-/x weight=heavy")

    check(found)
    assert codes(found.problems) == ["dialect-unsupported"] * 2


def test_48_ten_thousand_tags():
    found = of_tags(*(f"xds.route.r{n}=/{n}" for n in range(5_000)), *(f"xds.x{n}=1" for n in range(5_000)))

    check(found)
    assert not found.wishes
    assert "more than 128 things" in found.problems[0].sentence
    unread = instance("b", tags=[f"xds.x{n}=1" for n in range(200)])
    assert not said(instance("a", {"xds-route": "/"}), unread).wishes


def test_48_every_instance_with_all_the_tags_that_are_read():
    tags = [*(f"xds.route.r{n}=/{n}" for n in range(32)), *(f"xds.r{n}.{'x' * 200}=1" for n in range(32))]
    many = [instance(f"{n}", {f"xds-{n}-{m}": "" for m in range(64)}, tags) for n in range(100)]

    check(said(*many))


@pytest.mark.parametrize(
    "tag",
    [
        "xds.route=/" + "a" * 1_000_000,
        "xds." + "a" * 1_000_000 + "=x",
        "urlprefix-/" + "a" * 1_000_000,
        "urlprefix-/x " + "a=b " * 250_000,
        "traefik.http.routers.r.rule=" + "(" * 1_000_000,
        "traefik." + "a." * 500_000,
    ],
)
def test_49_a_tag_of_a_megabyte(tag):
    found = of_tags(tag)

    check(found)
    assert not found.wishes
    assert found.problems


@pytest.mark.parametrize(
    "meta",
    [
        {"xds-route": "/x\r\nX-Evil: 1"},
        {"xds-route": "a.com\r\nX-Evil: 1"},
        {"xds-route": "/x", "xds-rewrite": "/y\r\nX-Evil: 1"},
        {"xds-route": "/x", "xds-headers": "a=b\r\nX-Evil: 1"},
        {"xds-route": "/x", "xds-headers": "a\r\nX-Evil=1"},
        {"xds-route": "/x", "xds-methods": "GET\r\n"},
        {"xds-route": "/x", "xds-listener": "edge\n"},
        {"xds-route": "/x\n"},
    ],
)
def test_50_line_breaks_are_refused(meta):
    found = of_meta(meta)

    check(found)
    assert not found.wishes
    assert codes(found.problems) == ["word-invalid"]


@pytest.mark.parametrize(
    "meta",
    [
        {"xds-route": "/%ENVIRONMENT(HOME)%"},
        {"xds-route": "/x", "xds-rewrite": "/%ENVIRONMENT(HOME)%"},
        {"xds-route": "/x", "xds-rewrite": "/%20"},
        {"xds-route": "%FILTER_STATE%"},
        {"xds-route": "/x", "xds-strip": "/%DOWNSTREAM_PEER_CERT%"},
    ],
)
def test_51_formatters_of_envoy_are_refused(meta):
    found = of_meta(meta)

    check(found)
    assert not found.wishes


def test_51_a_percent_sign_of_a_header_is_compared_as_it_is():
    (wish,) = of_meta({"xds-route": "/x", "xds-headers": "a=%ENVIRONMENT(HOME)%"}).wishes

    (header,) = wish.route.match.headers
    assert (header.kind, header.value) == (TextKind.EXACT, "%ENVIRONMENT(HOME)%")


@pytest.mark.parametrize(
    "text",
    ["a.com?x=/", "a.com#/", "/a b", "/a\x00b", "/a/../b", "/./a", "//a", "/a//b", "/a%2fb", "/é", "/%"],
)
def test_52_a_path_that_is_none(text):
    found = of_meta({"xds-route": text})

    check(found)
    assert not found.wishes


@pytest.mark.parametrize("text", ["/(a+)+$", "/((", "/[a-z]*", "/.*", "/a{1,1000}{1,1000}", "~^/x", "^/x"])
def test_53_there_are_no_regular_expressions(text):
    found = of_meta({"xds-route": text})

    check(found)
    for wish in found.wishes:  # what begins with /. is a prefix that stands for itself
        assert wish.route.match.path.kind is not PathKind.REGEX


@pytest.mark.parametrize("text", [",".join(c * 20 for c in "ABCDEFGHIJKL"), ",".join("ABCDEFGHIJKLMNOPQR")])
def test_53_methods_do_not_make_too_large_an_expression(text):
    found = of_meta({"xds-route": "/x", "xds-methods": text})

    check(found)
    assert not found.wishes


@pytest.mark.parametrize(
    "text", ["", "*.*.x", "**", "*x", "a.*", "a..b", ".a", "a.", "a:80", "[::1]", "a" * 64, "a." * 127 + "a"]
)
def test_54_a_host_that_is_none(text):
    found = of_meta({"xds-route": text})

    check(found)
    assert not found.wishes


@pytest.mark.parametrize("text", ["*", "payments", "payments.service.consul", "payments.service.consul/"])
def test_55_nobody_takes_the_host_of_another_service(text):
    wishes = {"rogue": of_meta({"xds-route": text}).wishes}

    granted = words.grant(wishes, Registrations(), {})
    assert not granted.routes
    assert codes(granted.problems) == ["route-denied"]


def test_55_a_place_with_an_owner_is_refused_to_others():
    wish = of_meta({"xds-route": "shop.example.com/"}).wishes
    owners = words.grant({"shop": wish}, OPEN, {}).owners

    granted = words.grant({"a-rogue": wish, "shop": wish}, OPEN, owners)
    assert [route.targets[0].service for route in granted.routes[""]] == ["shop"]
    assert codes(granted.problems) == ["route-contested"]


@pytest.mark.parametrize(
    "text",
    ["-5s", "0", "0s", "1e9h", "NaN", "inf", "5", "9999999h", "5 s", "1h1h", "٣s", "0.0001ms", "1.5.5s", ""],
)
def test_56_a_time_that_is_none(text):
    for meta in ({"xds-connect-timeout": text}, {"xds-request-timeout": text}):
        found = of_meta(meta)
        check(found)
        assert not found.overrides
    assert not of_meta({"xds-route": "/", "xds-timeout": text}).wishes


def test_57_meta_at_its_limits():
    meta = {f"xds-route-{n:02}{'a' * 20}": f"/{n}" for n in range(31)}
    meta |= {"xds-route": "/" + "a" * 255, "xds-" + "b" * 124: "c" * 512}

    found = of_meta(meta)

    check(found)
    assert len(found.wishes) == 32


@pytest.mark.parametrize(
    "text", ['{"hosts": ["*"]}', "hosts: ['*']", '{"@type": "type.googleapis.com/x"}', "!!x"]
)
def test_58_json_and_yaml_are_text_like_any_other(text):
    for word in (*WORDS, "route"):
        found = of_meta({f"xds-{word}": text})
        check(found)
        assert (found.wishes, found.overrides, found.subsets) == ((), (), ())


def test_a_subset_cannot_write_into_a_filter():
    for text in ['v1" or "" == "', "v1\\", 'v1"', "V1", "v1 ", "a.b"]:
        found = said(instance(meta={"xds-subset": text}), instance("b", tags=[f"xds.subset={text}"]))
        assert found.subsets == ()
        assert "word-invalid" in codes(found.problems)


# --- anything ----------------------------------------------------------------------------------------

NASTY = [
    *(
        "a.com",
        "/x",
        "a.com/x/*",
        "*",
        "%ENVIRONMENT(X)%",
        "\r\n",
        "\x00",
        '"',
        "`",
        "..",
        "//",
        "~",
        "5s",
        "-1",
    ),
    *("true", "3:5xx", "GET", "a=b", "[", "(", "||", "&&", "!", "٣", "\u202e", "Host(`a.com`)", " ", "", "="),
]
TEXTS = st.lists(st.sampled_from(NASTY) | st.text(max_size=6), max_size=4).map("".join)
OWN = st.sampled_from([*WORDS, *OPTIONS, "route", "route-api", *(f"api-{one}" for one in OPTIONS)])
KEYS = st.builds("xds-{}".format, OWN | TEXTS) | TEXTS
TAGS = st.one_of(
    st.builds("xds.{}={}".format, OWN, TEXTS),
    st.builds("xds.{}".format, OWN | TEXTS),
    st.builds("urlprefix-{} {}".format, TEXTS, TEXTS),
    st.builds("urlprefix-a.com/x {}={}".format, st.sampled_from(["strip", "prepend", "proto", "x"]), TEXTS),
    st.builds("traefik.http.routers.r.rule={}".format, TEXTS),
    st.builds(
        "traefik.http.{}.r.{}={}".format,
        st.sampled_from(["routers", "services", "middlewares", "x"]),
        st.sampled_from(["rule", "priority", "middlewares", "stripprefix.prefixes", "entrypoints", "tls"])
        | TEXTS,
        TEXTS,
    ),
    TEXTS,
)


@st.composite
def services(draw: st.DrawFn) -> Service:
    instances = []
    for identity in draw(st.sets(st.sampled_from("abcdef"), max_size=4)):
        status = draw(st.sampled_from(Status))
        instances.append(
            Instance(
                node="n",
                id=identity,
                address="10.0.0.1",
                port=8080,
                tags=tuple(draw(st.lists(TAGS, max_size=5))),
                meta=tuple(draw(st.dictionaries(KEYS, TEXTS, max_size=5)).items()),
                statuses=(status,),
                weights=Weights(),
            )
        )
    return Service.of("web", instances)


@settings(max_examples=150, deadline=None)
@given(service=services())
@example(
    service=Service.of(
        "\r\n%s", [instance(meta={"xds-route\r\n": "/"}, tags=["traefik.\r\n=", "urlprefix-\x00"])]
    )
)
def test_no_text_does_any_harm(service):
    found = words.read(service, BOTH)

    check(found)
    assert found == words.read(service, BOTH)
    granted = words.grant({"web": found.wishes}, OPEN, {})
    assert {place.listener for place in granted.owners} == set(granted.routes)
    assert words.grant({"web": found.wishes}, Registrations(), {}).routes == {}
