"""Regular expressions that Envoy would refuse a whole response for."""

import pytest

from xds_server.consul.regexes import MAX_REGEX, regex_flaw
from xds_server.translate.regex_size import program_size

GOOD = [
    "/v[0-9]+/.*",
    "(?i)/login",
    r"/a\.b\+",
    "[[:alpha:]]{1,3}",
    r"\pL+\z",
    r"\p{Greek}",
    "(?P<user>[^/]+)",
    "(?s:.)*?",
    "[.*+]+",
    "/api/(users|orders|items)/[0-9]+(/.*)?",
    "é+",
]
BAD = [
    "",
    "a" * (MAX_REGEX + 1),
    "(",
    "a)",
    "*",
    "[a",
    "a\nb",
    "(?=a)",
    "(?!a)",
    "(?<=a)b",
    r"(a)\1",
    "(?P<x>a)(?P=x)",
    "a++",
    "a*+",
    "a{2}+",
    "(?>a)",
    "(?x) a",
    r"a\Z",
    "a{1001}",
    "a{3}b{999}",
    "[[:alpha:]]{1,1000}",
    "((a{9}){9}){9}",
    "(a{40}){40}",
    "a{99999999999999999999}",
    "(?#x)",
    r"\Qa\E",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_re2_reads_is_let_through(text: str) -> None:
    assert regex_flaw(text) == ""


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_it_does_not_read_is_refused(text: str) -> None:
    assert regex_flaw(text)


# As Envoy 1.40 gives them where it refuses one.
MEASURED = [
    ("a", 5),
    ("abc|def|ghi", 13),
    ("[a-zA-Z0-9_]", 7),
    (r"\PL", 12),
    (r"\pL{3}", 25),
    ("日本", 10),
    (r"(?i).*\.example\.com", 18),
    ("(a{2,3}){4}", 28),
    ("[^/]{2,4}", 14),
    (r"[\w-]{5}", 24),
    (r"[\pL\d]", 12),
    ("/api/(users|orders|items)/[0-9]+(/.*)?", 36),
    ("(?:foo|bar|baz)(?:/[^/]+){1,3}$", 26),
    ("a{3}b{999}", 1006),
    ("[[:alpha:]]{1,1000}", 2003),
]


@pytest.mark.parametrize(("text", "measured"), MEASURED, ids=range(len(MEASURED)))
def test_the_size_is_a_bound(text: str, measured: int) -> None:
    assert measured <= program_size(text)
