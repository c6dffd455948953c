"""Filter expressions: what a real Consul answers for the same rows, and nothing that strangers can misuse."""

import itertools
import random
import re
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rig.consul_agent import ConsulAgent
from xds_server.model.catalog import Instance, Weights
from xds_server.translate.filters import FilterError, compiled
from xds_server.translate.patterns import PatternError, searcher

ROWS = (
    ("n1", "x1", 8080, ["v1", "blue"], {"version": "v1", "with-dash": "d", "empty": "", "path": "/a/b"}),
    ("n1", "x2", 8081, ["v2"], {"version": "v2", "canary": "true"}),
    ("n2", "x3", 8080, [], {"version": "v2.1", "quoted": 'a"b'}),
    ("n2", "x4", 9090, ["new"], {"version": "none"}),
    ("n3", "x5", 80, ["", "sp ace", "v10"], {"version": "V2", "number": "12"}),
)
RACKS = {"n1": {"rack": "a"}, "n2": {"rack": "b"}, "n3": {}}
WEIGHTS = {"x1": (5, 2)}

# Consul answers these with instances.
GOOD = r"""
Service.Meta.version == v2
Service.Meta.version != v2
Service.Meta["version"] == "v2"
Service.Meta[`version`] == `v2`
Service.Meta[ "version" ] == v2
Service["Meta"].version == v1
Service.Meta["with-dash"] == d
Service.Meta["path"] == "/a/b"
Service.Meta.nope == ""
Service.Meta.nope != ""
Service.Meta.empty == ""
Service.Meta[""] == v1
Service.Meta is empty
Service.Meta is not empty
canary in Service.Meta
"with-dash" in Service.Meta
canary not in Service.Meta
Service.Meta contains canary
Service.Meta not contains canary
v1 in Service.Tags
v1 not in Service.Tags
"sp ace" in Service.Tags
"" in Service.Tags
v1 in Service["Tags"]
in in Service.Tags
not in Service.Tags
not not in Service.Tags
Service.Tags contains v1
Service.Tags not contains v1
Service.Tags is empty
Service.Tags is not empty
Service.Meta.version matches "^v2"
Service.Meta.version not matches "^v2"
Service.Meta.version matches "v2(\\.1)?$"
Service.Meta.version matches `\d+`
Service.Meta.version matches "(?i)V2"
Service.Meta.version matches "^(v1|none)$"
Service.Meta.version matches ""
Service.ID matches "x[1-3]"
Service.ID matches x
"2" in Service.Meta.version
Service.Meta.version contains 2
2 in Service.Meta.version
2 not in Service.Meta.version
x in Service.ID
Service.Port == 8080
Service.Port != 8080
Service.Port == "8080"
Service.Weights.Passing == 5
Service.Weights.Warning != 2
Service.ID == x1
Node.Node == n1
Node.Meta.rack == a
Node.Meta.rack != a
Node.Meta is empty
Node.Datacenter == dc1
Service.Meta.version == v2 and Service.Port == 8081
Service.Meta.version == v1 or Service.Meta.version == v2
Service.Meta.version == v1 or Service.Meta.version == v2 and Service.Port == 1
(Service.Meta.version == v1 or Service.Meta.version == v2) and Service.Port == 8081
not Service.Meta.version == v2
not not Service.Meta.version == v2
not (Service.Meta.version == v1 or Service.Port == 80)
not Service.Port == 80 and Service.Port == 8080
( Service.Meta.version == v1 )
((Service.Meta.version == v1))
Service.Meta.version==v1
Service.Meta.version == "v\u0031"
Service.Meta.version == "v\x31"
Service.Meta.version == "v\061"
Service.Meta.quoted == `a"b`
Service.Meta.version == 2
Service.Meta.version == -1
Service.Meta.number == 12
Service.Meta.canary == true
Service.Meta.version == not
Service.Meta.version == v1.x
v1 in Service.Tags and blue in Service.Tags
v1 in Service.Tags or v2 in Service.Tags or new in Service.Tags or v10 in Service.Tags
""".strip().splitlines()

# Consul refuses these.
BAD = r"""
Service.Meta.with-dash == d
Service.Tags == v1
Service.Tags matches "v."
Service.Meta matches "v."
Service.Meta == v1
Service.Meta.version matches "("
Service.Meta.version matches "[a"
Service.Meta.version matches "a**"
Service.Meta.version matches "\d+"
Service.Port == abc
Service.Port == 80.5
Service.Port in 8080
Service.Port matches "80"
Service.Port contains 8
Service.Port == 0x1F90
Service.ID in x1
Service == x
service.Meta.version == v2
Nope == 1
Service.Nope == 1
not(Service.Meta.version == v1)
Service.Meta.version=="v1"and Service.Port==8080
Service.Meta.version == v1 AND Service.Port == 8080
Service.Meta.version == 'v1'
Service.Meta.quoted == "a\"b"
Service.Meta.version == v2.1
Service.Meta.version == 1.
Service.Meta.version ==
== v1
Service.Meta.version
()
Service.Meta.version == v1 Service.Port == 1
Service.Meta.version == v1)
(Service.Meta.version == v1
Service.Meta. version == v1
Service.Meta["version"]["x"] == v1
Service.Meta.version.x == v1
Service[Meta].version == v1
Service.Tags.0 == v1
sp ace in Service.Tags
Service.Meta.version isempty
Service.Meta.version in v2
any Service.Tags as t { t == v1 }
Service.Meta [ "version" ] == v1
""".strip().splitlines()

INSTANCES = tuple(
    Instance(
        node=node,
        id=identity,
        address="10.0.0.1",
        port=port,
        tags=tuple(tags),
        meta=tuple(meta.items()),
        node_meta=tuple(RACKS[node].items()),
        weights=Weights(passing=WEIGHTS.get(identity, (1, 1))[0], warning=WEIGHTS.get(identity, (1, 1))[1]),
        datacenter="dc1",
    )
    for node, identity, port, tags, meta in ROWS
)


def chosen(expression):
    is_so = compiled(expression)
    return {one.id for one in INSTANCES if is_so(one)}


@pytest.mark.integration
async def test_a_real_consul_answers_the_same():
    async with ConsulAgent() as consul:
        for node, identity, port, tags, meta in ROWS:
            passing, warning = WEIGHTS.get(identity, (1, 1))
            body = {"ID": identity, "Service": "x", "Port": port, "Tags": tags, "Meta": meta}
            body["Weights"] = {"Passing": passing, "Warning": warning}
            await consul.put(
                "/v1/catalog/register",
                {"Node": node, "Address": "10.1.0.1", "NodeMeta": RACKS[node], "Service": body},
            )
        differ = {}
        for expression in GOOD:
            rows = await consul.get(f"/v1/health/service/x?filter={quote(expression)}")
            if (said := {row["Service"]["ID"] for row in rows}) != chosen(expression):
                differ[expression] = said
        for expression in BAD:
            with pytest.raises(RuntimeError, match="boolean expression"):
                await consul.get(f"/v1/health/service/x?filter={quote(expression)}")
        assert differ == {}


@pytest.mark.parametrize("expression", BAD)
def test_what_consul_refuses_is_refused(expression):
    with pytest.raises(FilterError):
        compiled(expression)


def test_expressions_choose_at_all():
    # So that the comparison with Consul above is none of empty sets.
    assert sum(0 < len(chosen(expression)) < len(INSTANCES) for expression in GOOD) > 50


def test_an_empty_expression_takes_every_instance():
    assert chosen("") == {"x1", "x2", "x3", "x4", "x5"}


def test_a_missing_key_matches_nothing():
    assert chosen('Service.Meta.canary matches ""') == {"x2"}
    assert chosen('Service.Meta.canary not matches "."') == {"x1", "x3", "x4", "x5"}


def test_a_text_can_be_asked_whether_it_is_empty():
    assert chosen("Service.Meta.empty is empty") == {"x1", "x2", "x3", "x4", "x5"}
    assert chosen("Service.Meta.canary is not empty") == {"x2"}


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("Checks.Status == passing", "onlypassing"),
        ('Service.Address == "10.0.0.1"', "kept as one"),
        ('Node.Address == "10.0.0.1"', "kept as one"),
        ("Service.Connect.Native == true", "ID, Port, Tags, Meta and Weights are kept"),
        ("Node.ID == x", "Node, Datacenter and Meta are kept"),
        ("Service.Meta.version == v2.1", "is not understood"),
        ("Service.Meta.version ==", "the end is no value"),
        ('Service.Meta.version matches "(ab)*"', "repeats a group"),
        ("(" * 40 + "Service.Port == 1" + ")" * 40, "nested too deeply"),
        ("not " * 40 + "Service.Port == 1", "nested too deeply"),
        ("Service.ID == " + "x" * 5000, "longer than 4096"),
    ],
)
def test_a_refusal_says_why(expression, reason):
    with pytest.raises(FilterError, match=re.escape(reason)):
        compiled(expression)


WORDS = (
    *("Service.Meta.v", "Service.Tags", "==", " ", "not ", "(", ")", "and", "or", "in", '"', "`"),
    *("matches", "1", "[", "]"),
)


@given(st.text(max_size=40) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
def test_any_text_is_an_answer_or_a_refusal(text):
    try:
        is_so = compiled(text)
    except FilterError:
        return
    assert {is_so(one) for one in INSTANCES} <= {True, False}


# --- patterns ----------------------------------------------------------------------------------------

PIECES = ("a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\.", "a*", "b+", "c?", "[a-c]{2}", "a{1,3}", ".*", "1")


def test_simple_patterns_find_what_python_finds():
    chance = random.Random(7)  # noqa: S311 - patterns, no secret
    texts = ["".join(letters) for size in range(5) for letters in itertools.product("ab1.", repeat=size)]
    for _ in range(300):
        ways = [
            "^" * chance.randint(0, 1)
            + "".join(chance.choices(PIECES, k=chance.randint(0, 4)))
            + "$" * chance.randint(0, 1)
            for _ in range(chance.randint(1, 3))
        ]
        pattern = f"({'|'.join(ways)})" + "?" * chance.randint(0, 1)
        ours, theirs = searcher(pattern), re.compile(pattern.replace("$", r"\Z"))
        for text in chance.sample(texts, 40):
            assert ours(text) == bool(theirs.search(text)), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("[]a]x", "]x", True),
        ("[a-]x", "-x", True),
        ("[^]]", "]", False),
        ("[&&~~||-]", "~", True),
        (r"[\d.-]+$", "1.2-3", True),
        (r"[\]\\]", "\\", True),
        (r"\tx", "\tx", True),
        ("(?:a|b)c", "bc", True),
        ("(a(b|c)?)$", "ab", True),
        ("a.c", "a\nc", False),
        ("^$", "", True),
        ("^$", "x", False),
        ("(?i)[A-C]X", "bx", True),
        ("ü", "ü", True),
    ],
)
def test_a_pattern_is_what_it_is_to_consul(pattern, text, found):
    assert searcher(pattern)(text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "(a",
            "a)",
            "[a",
            "[a-",
            "[]",
            "*a",
            "+",
            "a**",
            "a{3}{4}",
            "a{2,1}",
            "a{999}",
            "(ab)+",
            "(a|b){2}",
        ),
        *("a^b", "a$b", r"\b", r"\pL", r"\Qa", "\\", "[[:alpha:]]", r"[\d-z]", "[z-a]", "(?P<x>a)", "(?=a)"),
        *("x" * 200, "(" * 50 + ")" * 50, "(a|b)" * 20),
    ],
)
def test_a_pattern_that_is_wrong_or_not_simple_is_refused(pattern):
    with pytest.raises(PatternError):
        searcher(pattern)


@pytest.mark.parametrize("pattern", ["a?" * 60 + "a{60}", ".*.*.*.*.*.*x$", "(a*|a*|a*)?(a+|a?)?b"])
def test_no_pattern_takes_long(pattern):
    is_found = searcher(pattern)
    started = time.process_time()
    is_found("a" * 512)
    assert time.process_time() - started < 1.0


PARTS = (*PIECES, "(", ")", "|", "^", "$", "[", "\\")


@given(st.text(max_size=30) | st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_any_pattern_is_a_searcher_or_a_refusal(pattern):
    try:
        is_found = searcher(pattern)
    except PatternError:
        return
    assert is_found("ab1.") in {True, False}
