"""Cases 45 to 64: weights, tags, Meta, checks, and the rest of a row."""

import json

from tests.bad_inputs.case import FINE, Case, dropped, fine, rogue, taken
from xds_server.model.problem import Code

ROW, WEIGHT, INVALID = Code.SERVICE_ROW, Code.ENDPOINT_WEIGHT, Code.WORD_INVALID
SERVED = "10.0.0.2:80"
UNHEALTHY = f"{SERVED} UNHEALTHY"

CLAIMS = """
registrations:
  dialects: [fabio, traefik]
  claims: [{hosts: ["*.example.com", "*"], services: ["*"]}]
"""
SECRET = "s3cret-output-canary"


def weighed(number, *weights):
    return [
        rogue(number, place, Address=f"10.0.0.{place + 2}", Weights={"Passing": weight, "Warning": weight})
        for place, weight in enumerate(weights)
    ]


def meta(number, *metas):
    """One instance for each Meta, and all of them say the service is there as ever."""
    return [rogue(number, place, Address=SERVED[:-3], Meta=one) for place, one in enumerate(metas)]


def said(number, title, code, one, **more):
    """A service that says `one` in its Meta: it is told, nothing comes of it, and the service is served."""
    name = f"case-{number}"
    return Case(
        number=number,
        title=title,
        listed={name: [rogue(number, Meta=one)]},
        served={name: (SERVED,)},
        problems=((code, name),),
        **{"verdict": "refuse", "settings": CLAIMS, **more},
    )


def tagged(number, title, verdict, tags, *problems):
    name = f"case-{number}"
    return Case(
        number=number,
        title=title,
        verdict=verdict,
        listed={name: [rogue(number, Tags=tags)]},
        served={name: (SERVED,)},
        problems=problems,
        settings=CLAIMS,
    )


def checked(number, title, verdict, served, checks):
    made = rogue(number)
    made["Checks"] = checks
    return taken(number, title, verdict, [made], served, nowhere=SECRET)


def spoilt(number, title, change):
    made = rogue(number)
    change(made)
    name = f"case-{number}"
    return Case(
        number=number,
        title=title,
        verdict="skip row",
        listed={name: [fine(name), made]},
        served={name: (FINE,)},
        problems=((ROW, name),),
    )


CASES = [
    taken(45, "weight 0", "listed as unhealthy, with weight 1, as Consul's own", weighed(45, 0), UNHEALTHY),
    taken(46, "weight -1", "as 0", weighed(46, -1), UNHEALTHY),
    taken(
        46,
        "weights far too large",
        "clamp to 65535, so that no sum overflows",
        weighed(46, 70_000, 2**32 - 1, 2**32 - 1),
        *(f"10.0.0.{n}:80 weight 65535" for n in (2, 3, 4)),
        problems=((WEIGHT, "rogue-"),),
    ),
    dropped(46, "weights beyond 64 bits, or of another type", ROW, weighed(46, 2**70, "3", 1.5)),
    tagged(
        47,
        "a weight in a tag that is no number",
        "ignore, and say so",
        ["traefik.http.services.web.loadbalancer.server.weight=heavy"],
        (Code.DIALECT_UNSUPPORTED, "case-47"),
    ),
    tagged(
        48,
        "10,000 tags",
        "cap 64",
        [f"t{n}" for n in range(10_000)],
        (ROW, "9936 of its tags are beyond the limits"),
    ),
    tagged(49, "a tag of 1 MB", "cap 256 B", ["v" * 1_000_000, "ok"], (ROW, "1 of its tags are")),
    said(50, "a header in a path", INVALID, {"xds-route": "/x\r\nX-Evil: 1"}, nowhere="\nX-Evil"),
    said(
        50,
        "a header in a header",
        INVALID,
        {"xds-route": "a.example.com/", "xds-headers": "a=b\r\nX-Evil: 1"},
        nowhere="\nX-Evil",
    ),
    said(
        51,
        "what Envoy would expand, in a path",
        INVALID,
        {"xds-route": "/%ENVIRONMENT(HOME)%"},
        nowhere="\n%ENVIRONMENT",
    ),
    said(
        51,
        "what Envoy would expand, in a rewrite",
        INVALID,
        {"xds-route": "a.example.com/x", "xds-rewrite": "/%FILTER_STATE(x)%"},
    ),
    *(
        said(52, f"a path that is none: {what}", INVALID, {"xds-route": f"a.example.com{path}"})
        for what, path in [("no slash", ":80x"), ("line break", "/a\r\nb"), ("dots", "/../x"), ("#", "/#x")]
    ),
    *(
        said(53, f"a regular expression: {text}", INVALID, {"xds-route": f"a.example.com{text}"})
        for text in ("/(a+)+$ ", "/[a-z]*", "/a{1,1000}{1,1000}")
    ),
    *(
        said(54, f"a host that is none: {host!r}", INVALID, {"xds-route": f"{host}/x"})
        for host in ("*.*.x", "a..b", "*x")
    ),
    said(54, "an empty route", INVALID, {"xds-route": ""}),
    said(55, "the host of another service", Code.ROUTE_DENIED, {"xds-route": "good"}, settings=""),
    said(
        55,
        "the DNS name of another service",
        Code.ROUTE_DENIED,
        {"xds-route": "good.service.consul/"},
        settings="",
    ),
    *(
        said(56, f"a time that is none: {text}", INVALID, {"xds-connect-timeout": text}, verdict="default")
        for text in ("-5s", "0s", "1e9h", "NaN", "inf")
    ),
    taken(
        57,
        "Meta at its limits",
        "served",
        [rogue(57, Meta={f"k{n:02}": "v" * 512 for n in range(64)})],
        SERVED,
    ),
    taken(
        57,
        "Meta beyond them",
        "cut, and told",
        [rogue(57, Meta={**{f"k{n:02}": "" for n in range(65)}, "long": "v" * 513})],
        SERVED,
        problems=((ROW, "2 of its Meta are beyond the limits"),),
    ),
    said(
        58,
        "JSON for a word",
        INVALID,
        {"xds-protocol": json.dumps({"@type": "type.googleapis.com/evil"})},
        nowhere="\ntype.googleapis.com/evil",
        verdict="text like any other",
    ),
    *(
        checked(
            59,
            f"a status Consul does not know: {word!r}",
            "unhealthy",
            UNHEALTHY,
            [{"CheckID": "c", "Status": word}],
        )
        for word in ("", "maintenance", "PASSING", "ok", None)
    ),
    checked(59, "the check of maintenance", "unhealthy", UNHEALTHY, [{"CheckID": "_node_maintenance"}]),
    checked(60, "no checks", "healthy", SERVED, []),
    checked(60, "`null` for checks", "healthy", SERVED, None),
    checked(
        61,
        "a megabyte of secrets a check prints",
        "never read",
        SERVED,
        [{"CheckID": "c", "Status": "passing", "Output": f"{SECRET}\x00\x1b[31m" * 50_000, "Notes": SECRET}],
    ),
    spoilt(62, "`null` for the node", lambda made: made.update(Node=None)),
    spoilt(62, "no node", lambda made: made.pop("Node")),
    spoilt(62, "no service", lambda made: made.pop("Service")),
    spoilt(62, "`null` for the service", lambda made: made.update(Service=None)),
    spoilt(62, "Meta of the node that is none", lambda made: made["Node"].update(Meta=["x"])),
    spoilt(62, "a row of another service", lambda made: made["Service"].update(Service="good")),
    taken(62, "no Meta of the node", "served", [rogue(62, node={"Meta": None})], SERVED),
    *(
        taken(
            63,
            f"an index that is none: {index!r}",
            "served",
            [rogue(63, CreateIndex=index, ModifyIndex=index)],
            SERVED,
        )
        for index in ("7", -1, 2**70, 1.5, None)
    ),
    dropped(
        64,
        "another datacenter in an answer of ours",
        ROW,
        [rogue(64, node={"Datacenter": "dc2"}), rogue(64, 1, node={"Datacenter": "DC1"})],
    ),
]
