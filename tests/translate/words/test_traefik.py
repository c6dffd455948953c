import pytest

from tests.translate.words.registrations import asked, codes, fields, instance, of_tags, only, said
from xds_server.model.policy import Dialect, Protocol
from xds_server.model.route import PathKind, PathMatch, TextKind, TextMatch
from xds_server.translate.words.rule import Way, ways
from xds_server.translate.words.values import Misfit

EXACT, PREFIX = PathKind.EXACT, PathKind.PREFIX
RULE = "traefik.http.routers.r.rule=Host(`a.com`)"


def router(*options: str) -> tuple[str, ...]:
    """Give the tags of a router for a.com with further tags; those that begin with a dot are its own."""
    return (RULE, *(f"traefik.http.routers.r{one}" if one.startswith(".") else one for one in options))


def test_tags_of_traefik_mean_nothing_without_the_dialect():
    assert said(instance(tags=[RULE]), dialects=frozenset({Dialect.FABIO})) == said()


# --- rules -------------------------------------------------------------------------------------------


def path(value: str, kind: PathKind = PREFIX) -> PathMatch:
    return PathMatch(kind=kind, value=value)


RULES = [
    ("Host(`A.com`)", (Way(host="a.com"),)),
    ('Host("a.com")', (Way(host="a.com"),)),
    ("Host(`a.com`,`b.com`)", (Way(host="a.com"), Way(host="b.com"))),
    ("Host(`a.com`) && PathPrefix(`/x`)", (Way(host="a.com", path=path("/x")),)),
    ("PathPrefix(`/`)", (Way(path=PathMatch()),)),
    ("  Path( `/x` )  ", (Way(path=path("/x", EXACT)),)),
    ("Host(`a`)||Host(`b`)", (Way(host="a"), Way(host="b"))),
    (
        "Host(`a`) && (PathPrefix(`/x`) || Path(`/y`))",
        (Way(host="a", path=path("/x")), Way(host="a", path=path("/y", EXACT))),
    ),
    # && binds closer than ||.
    ("Host(`a`) || Host(`b`) && Path(`/x`)", (Way(host="a"), Way(host="b", path=path("/x", EXACT)))),
    (
        "(Host(`a`) || Host(`b`)) && Method(`get`)",
        (Way(host="a", methods=("GET",)), Way(host="b", methods=("GET",))),
    ),
    ("Method(`GET`, `POST`)", (Way(methods=("GET", "POST")),)),
    (
        "Header(`X-A`, `1`) && Headers(`X-B`, `2`)",
        (
            Way(
                headers=(
                    TextMatch(name="x-a", kind=TextKind.EXACT, value="1"),
                    TextMatch(name="x-b", kind=TextKind.EXACT, value="2"),
                )
            ),
        ),
    ),
    (
        "Query(`a`, `1`) && Query(`b`)",
        (Way(query=(TextMatch(name="a", kind=TextKind.EXACT, value="1"), TextMatch(name="b"))),),
    ),
    ("HOST(`a`)", (Way(host="a"),)),
]


@pytest.mark.parametrize(("rule", "meaning"), RULES)
def test_a_rule_is_read(rule, meaning):
    assert ways(rule) == meaning


NOT_RULES = [
    "",
    "Host",
    "Host()",
    "Host(a.com)",
    "Host(`a`",
    "Host(`a`) Host(`b`)",
    "Host(`a`) &&",
    "Host(`a`) & Host(`b`)",
    "&& Host(`a`)",
    "!Host(`a`)",
    "Host(`a`) && !Path(`/admin`)",
    "HostRegexp(`.+`)",
    "PathRegexp(`^/x`)",
    "HeaderRegexp(`a`, `b`)",
    "ClientIP(`10.0.0.0/8`)",
    "Host(`a`) && ClientIP(`10.0.0.0/8`)",
    "HostSNI(`*`)",
    "Header(`a`)",
    "Header(`a`, `b`, `c`)",
    "Host(`a`) && Host(`b`)",
    "Path(`/a`) && PathPrefix(`/`)",
    "Path(`a`)",
    "Path(`/{id:[0-9]+}`)",
    "Path(`/a/../b`)",
    "Host(`a b`)",
    "Header(`a`, `b\r\nX-Evil: 1`)",
    "Host(`a`))",
    "(" * 300 + "Host(`a`)",
    "(" * 9 + "Host(`a`)" + ")" * 9,
    " || ".join(f"Host(`a{n}`)" for n in range(17)),
    "(Host(`a`,`b`,`c`,`d`,`e`)) && (Path(`/1`,`/2`,`/3`,`/4`))",
    "Host(`" + "a." * 260 + "`)",
]


@pytest.mark.parametrize("rule", NOT_RULES, ids=[rule[:40] for rule in NOT_RULES])
def test_a_rule_that_is_not_wholly_understood_is_refused_as_a_whole(rule):
    with pytest.raises(Misfit):
        ways(rule)
    found = of_tags(f"traefik.http.routers.r.rule={rule}", "traefik.http.routers.good.rule=Host(`good`)")
    assert list(asked(found)) == ["traefik.http.routers.good"]
    assert codes(found.problems) == ["dialect-unsupported"]
    assert all(problem.sentence.isprintable() and problem.source.isprintable() for problem in found.problems)


# --- routers -----------------------------------------------------------------------------------------


def test_a_router_is_a_route():
    route = only(of_tags(*router(".priority=12")))

    assert (route.host, route.priority, route.listener) == ("a.com", 12, "")


def test_keys_are_the_same_in_capitals():
    found = of_tags("Traefik.HTTP.Routers.R.Rule=Host(`a.com`)", "traefik.http.routers.r.PRIORITY=3")

    assert only(found).priority == 3


def test_entry_points_are_listeners():
    found = of_tags(*router(".entrypoints=web, websecure"))

    assert [wish.route.listener for wish in found.wishes] == ["web", "websecure"]


@pytest.mark.parametrize(("value", "enabled"), [("true", True), ("false", False), ("TRUE", True)])
def test_a_service_opts_in_or_out(value, enabled):
    assert of_tags(f"traefik.enable={value}").enabled is enabled


@pytest.mark.parametrize(
    ("middlewares", "tags", "rule", "rewrite"),
    [
        ("s", ["s.stripprefix.prefixes=/x"], "PathPrefix(`/x`)", "/"),
        ("s@consulcatalog", ["s.stripprefix.prefixes=/y,/x"], "PathPrefix(`/x/y`)", "/y"),
        ("S", ["s.stripPrefix.prefixes=/x"], "Path(`/x/y`)", "/y"),
        ("a", ["a.addprefix.prefix=/v1"], "PathPrefix(`/x`)", "/v1/x"),
        ("a", ["a.addprefix.prefix=/v1"], "Host(`a.com`)", "/v1/"),
        ("s,a", ["s.stripprefix.prefixes=/x", "a.addprefix.prefix=/v1"], "PathPrefix(`/x/y`)", "/v1/y"),
    ],
)
def test_prefixes_are_stripped_and_added(middlewares, tags, rule, rewrite):
    found = of_tags(
        f"traefik.http.routers.r.rule={rule}",
        f"traefik.http.routers.r.middlewares={middlewares}",
        *(f"traefik.http.middlewares.{tag}" for tag in tags),
    )

    assert only(found).treatment.prefix_rewrite == rewrite
    assert found.problems == ()


HARMLESS = [
    ".tls.certresolver=le",
    "traefik.http.services.r.loadbalancer.sticky.cookie=true",
    "traefik.http.services.r.loadbalancer.server.weight=3",
    "traefik.http.services.r.loadbalancer.passhostheader=false",
    "traefik.tcp.routers.r.rule=HostSNI(`*`)",
    "traefik.docker.network=x",
    "traefik.",
]


@pytest.mark.parametrize("tag", HARMLESS)
def test_what_restricts_nothing_is_listed_and_the_router_served(tag):
    found = of_tags(*router(tag, ".entrypoints=websecure"))

    assert len(found.wishes) == 1
    assert codes(found.problems) == ["dialect-unsupported"]


def test_a_middleware_that_restricts_nothing_is_listed_and_the_router_served():
    found = of_tags(*router(".middlewares=c"), "traefik.http.middlewares.c.compress=true")

    assert len(found.wishes) == 1
    assert 'middleware "c" is not honoured' in found.problems[0].sentence


CLOSING = [
    (".middlewares=auth", "traefik.http.middlewares.auth.basicauth.users=a:b"),
    (".middlewares=lan", "traefik.http.middlewares.lan.ipwhitelist.sourcerange=10.0.0.0/8"),
    (".middlewares=lan", "traefik.http.middlewares.lan.ipallowlist.sourcerange=10.0.0.0/8"),
    (".middlewares=h", "traefik.http.middlewares.h.headers.customrequestheaders.X-User="),
    (".middlewares=r", "traefik.http.middlewares.r.redirectscheme.scheme=https"),
    (".middlewares=r", "traefik.http.middlewares.r.ratelimit.average=1"),
    (
        ".middlewares=both",
        "traefik.http.middlewares.both.compress=true",
        "traefik.http.middlewares.both.basicauth.users=x",
    ),
    (
        ".middlewares=both",
        "traefik.http.middlewares.both.compress=true",
        "traefik.http.middlewares.both.retry.attempts=2",
    ),
    (
        "traefik.http.routers.r.middlewares=s",
        "traefik.http.middlewares.s.stripprefix.prefixes=/,/x",
    ),
    (".middlewares=nowhere",),
    (".middlewares=auth@file",),
    (".middlewares=s", "traefik.http.middlewares.s.stripprefix.prefixes=/x"),
    (".middlewares=s", "traefik.http.middlewares.s.stripprefix.prefixes=x"),
    (
        ".middlewares=a,s",
        "traefik.http.middlewares.a.addprefix.prefix=/x",
        "traefik.http.middlewares.s.stripprefix.prefixes=/",
    ),
    (".tls=true",),
    (".tls.certresolver=le",),
    (".tls.options=mtls@file", ".entrypoints=websecure"),
    (".entrypoints=",),
    (".entrypoints=a b",),
    (".service=other",),
    (".service=api@internal",),
    (".priority=x",),
    (".newthing=x",),
    (".rule=Host(`b.com`)",),
    ("traefik.http.services.r.loadbalancer.server.port=9999",),
    ("traefik.http.services.r.loadbalancer.server.scheme=https",),
    (
        "traefik.http.services.r.loadbalancer.server.port=8080",
        "traefik.http.services.q.loadbalancer.server.port=8080",
    ),
    ("traefik.consulcatalog.connect=true",),
]


@pytest.mark.parametrize("tags", CLOSING, ids=[" ".join(tags)[:60] for tags in CLOSING])
def test_what_may_restrict_a_router_closes_it(tags):
    found = of_tags(*router(*tags))

    assert not found.wishes
    assert "dialect-unsupported" in codes(found.problems)


def test_a_router_that_one_instance_restricts_is_served_for_none():
    closed = instance("b", tags=router(".middlewares=auth"))

    assert not said(instance("a", tags=router()), closed).wishes


def test_a_router_leads_to_its_own_service_on_the_registered_port():
    tags = router(
        ".service=svc@consulcatalog",
        "traefik.http.services.svc.loadbalancer.server.port=8080",
        "traefik.http.services.svc.loadbalancer.server.scheme=h2c",
    )

    found = of_tags(*tags)

    assert only(found).host == "a.com"
    assert fields(found) == {"protocol": Protocol.HTTP2}
    assert found.problems == ()


def test_a_router_without_a_rule_is_listed():
    found = of_tags("traefik.http.routers.r.entrypoints=web")

    assert not found.wishes
    assert "has no rule" in found.problems[0].sentence
