"""Cases 1 to 19: the names of services, and who is who."""

from tests.bad_inputs.case import Case, nameless
from tests.consul.fake_consul import row
from xds_server.model.problem import Code

MANY = 10_000


def one(name, host, **more):
    return row(name, Address=host, **more)


CASES = [
    nameless(1, "an empty name", ""),
    nameless(2, "a name with NUL", "nul\x00byte"),
    nameless(3, "line breaks and tabs", "line\nfeed", "carriage\rreturn", "a\tb", "\n"),
    nameless(4, "parts of a URL", "zz/../good", "../good", "a%2fgood", "good?stale", "good#x", "/", "a\\b"),
    nameless(5, "spaces, quotes and templates", "a b", 'a"b', "{}", "${x}", "{{x}}", "a'b", "a`b", " good"),
    nameless(
        6,
        "letters beyond ASCII, in both forms, hidden and reversed",
        "caf\u00e9",
        "cafe\u0301",
        "\u202egood",
        "go\u200bod",
        "g\u043e\u043ed",
        "good\ufeff",
    ),
    nameless(7, "what Consul makes of bytes that are not UTF-8", "a\ufffdb", "\ufffd"),
    nameless(8, "64 kB", "x" * 64_000, "x" * 129),
    nameless(9, "300 kB", "y" * 300_000),
    Case(
        number=10,
        title="the name of a cluster of the bootstrap",
        verdict="quarantine; `local` is no such name here, and served",
        listed={"xds_cluster": [one("xds_cluster", "10.0.0.2")], "local": [one("local", "10.0.0.3")]},
        served={"local": ("10.0.0.3:80",)},
        problems=((Code.SERVICE_NAME_CLASH, '"xds_cluster"'),),
    ),
    Case(
        number=11,
        title="twins but for capitals",
        verdict="one cluster: that in small letters, whoever came first",
        listed={
            "Twin": [one("Twin", "10.0.0.2")],
            "twin": [one("twin", "10.0.0.3")],
            "TWIN": [one("TWIN", "10.0.0.4")],
        },
        served={"twin": ("10.0.0.3:80",)},
        problems=((Code.SERVICE_NAME_CLASH, '"Twin"'), (Code.SERVICE_NAME_CLASH, '"TWIN"')),
    ),
    nameless(12, "a dot at the end", "good.", ".good", "go..od"),
    nameless(13, "wildcards, dots and Python", "*", "**", "__class__", ".", "..", "-", "_", "-good"),
    Case(
        number=14,
        title="names that other servers would make one of",
        verdict="both served: a cluster has the very name of its service",
        listed={
            "a.b": [one("a.b", "10.0.0.2")],
            "a_b": [one("a_b", "10.0.0.3")],
            "a-b": [one("a-b", "10.0.0.4")],
            "a--b": [one("a--b", "10.0.0.5")],
        },
        served={
            "a.b": ("10.0.0.2:80",),
            "a_b": ("10.0.0.3:80",),
            "a-b": ("10.0.0.4:80",),
            "a--b": ("10.0.0.5:80",),
        },
    ),
    Case(
        number=14,
        title="the DNS name of another service as a name",
        verdict="served, and the shorter name has the domain",
        listed={
            "owner": [one("owner", "10.0.0.2")],
            "owner.service.consul": [one("owner.service.consul", "10.0.0.3")],
        },
        served={"owner": ("10.0.0.2:80",), "owner.service.consul": ("10.0.0.3:80",)},
        problems=((Code.DOMAIN_TAKEN, "owner.service.consul"),),
    ),
    Case(
        number=15,
        title="one id on two nodes",
        verdict="both kept",
        listed={
            "case-15": [
                one("case-15", "10.0.0.2", id="same", node="n1"),
                one("case-15", "10.0.0.3", id="same", node="n2"),
            ]
        },
        served={"case-15": ("10.0.0.2:80", "10.0.0.3:80")},
    ),
    Case(
        number=16,
        title="one id, two names",
        verdict="as Consul tells it",
        listed={
            "case-16-a": [one("case-16-a", "10.0.0.2", id="moved", node="n16")],
            "case-16-b": [one("case-16-b", "10.0.0.2", id="moved", node="n16")],
        },
        served={"case-16-a": ("10.0.0.2:80",), "case-16-b": ("10.0.0.2:80",)},
    ),
    Case(
        number=17,
        title="10,000 services at once",
        verdict="served; it is debounced",
        listed={f"s{n}": [one(f"s{n}", f"10.2.{n // 256}.{n % 256}")] for n in range(MANY)},
        served={f"s{n}": (f"10.2.{n // 256}.{n % 256}:80",) for n in range(MANY)},
        alone=True,
        slow=True,
    ),
    Case(
        number=17,
        title="10,000 names that are none, at once",
        verdict="quarantine; 50 are named and the rest is counted",
        listed={f"s {n}": [] for n in range(MANY)},
        problems=((Code.SERVICE_NAME, "s "), (Code.SERVICE_NAME, "9950 more")),
        alone=True,
    ),
    Case(
        number=18,
        title="no tags, and `null` for them",
        verdict="served",
        listed={
            "case-18": [
                one("case-18", "10.0.0.2", id="none"),
                one("case-18", "10.0.0.3", id="null", Tags=None, Meta=None),
                one("case-18", "10.0.0.4", id="empty", Tags=[], Meta={}),
            ]
        },
        served={"case-18": ("10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80")},
    ),
    Case(
        number=19,
        title="sidecars, gateways and Consul itself",
        verdict="filtered by kind",
        listed={
            "consul": [one("consul", "10.0.0.2", port=8300)],
            "case-19-proxy": [one("case-19-proxy", "10.0.0.3", Kind="connect-proxy")],
            "case-19-gate": [one("case-19-gate", "10.0.0.4", Kind="mesh-gateway")],
            "case-19-new": [one("case-19-new", "10.0.0.5", Kind="a kind of the future")],
        },
    ),
]
