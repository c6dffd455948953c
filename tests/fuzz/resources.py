"""F-b: whatever is registered, Envoy takes every resource that comes of it, and others keep theirs."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.bad_inputs.outcome import ENVOY, GRPC, Outcome, outcome, policy_of
from tests.consul.fake_consul import row
from tests.fuzz.target import Target, workplace
from tests.rig.static_bootstrap import ask_envoy, static_bootstrap
from xds_server.model.catalog import is_service_name
from xds_server.model.problem import Code
from xds_server.model.types import TypeUrl
from xds_server.translate.words import schema

EVERY = 10
"""Of so many catalogs one is shown to a real Envoy, which takes a tenth of a second."""

_NEVER = {Code.RESOURCE_INVALID, Code.ENDPOINT_INVALID, Code.REFERENCE_MISSING, Code.TRANSLATION_FAILED}
_POLICY = policy_of(
    """
registrations:
  dialects: [fabio, traefik]
  claims: [{hosts: ["*", "*.example.com"], services: ["*"]}]
services: {resolved: {hostnames: resolve}}
""",
    workplace(),
)
_ALONE = {group: outcome({}, _POLICY, group).good for group in (ENVOY, GRPC)}

NAMES = st.sampled_from(
    [
        "user",
        "User",
        "a.b",
        "a_b",
        "resolved",
        "xds_cluster",
        "good.service.consul",
        "x" * 128,
        "9",
        "v1.user",
    ]
) | st.text(max_size=6)
TEXTS = st.one_of(
    st.sampled_from(
        ["", "10.0.0.1", "::1", "169.254.169.254", "[::1]", "::ffff:10.0.0.1", "127.1", "0x7f.1"]
    ),
    st.sampled_from(
        ["%ENVIRONMENT(HOME)%", "a\r\nb: c", "\x00", "/x", "*", "a.example.com", "a.example.com/x/*"]
    ),
    st.sampled_from(["5s", "-1", "NaN", "3:5xx", "true", "a=b", "GET"]),
    st.text(max_size=8),
)
NUMBERS = st.sampled_from([0, 1, 80, -1, 65_535, 65_536, 2**31, 2**32 - 1, 2**63 - 1]) | st.integers(1, 9000)
WORDS = st.sampled_from([*schema.WORDS, *schema.OPTIONS, "route", "route-api"])
PAIRS = st.dictionaries(st.builds("xds-{}".format, WORDS) | TEXTS, TEXTS, max_size=4)
TAGS = st.builds("xds.{}={}".format, WORDS, TEXTS) | st.builds("urlprefix-{}".format, TEXTS) | TEXTS
STATUSES = st.sampled_from(["passing", "warning", "critical", "maintenance", "", "x"])


@st.composite
def rows(draw: st.DrawFn, name: str) -> dict[str, Any]:
    made = row(
        name, id=draw(TEXTS) or "i", node=draw(st.sampled_from(["n1", "n2", "n3"])), port=draw(NUMBERS)
    )
    made["Service"] |= {
        "Address": draw(TEXTS | st.sampled_from([f"10.0.0.{n}" for n in range(9)])),
        "Tags": draw(st.lists(TAGS, max_size=4)),
        "Meta": draw(PAIRS),
        "Weights": {"Passing": draw(NUMBERS), "Warning": draw(NUMBERS)},
        "Ports": draw(
            st.none() | st.lists(st.fixed_dictionaries({"Name": TEXTS, "Port": NUMBERS}), max_size=2)
        ),
        "Locality": draw(st.none() | st.fixed_dictionaries({"Region": TEXTS, "Zone": TEXTS})),
    }
    made["Node"]["Meta"] = draw(st.none() | st.dictionaries(st.sampled_from(["region", "zone"]), TEXTS))
    made["Checks"] = [
        {"CheckID": draw(TEXTS), "Status": draw(STATUSES)} for _ in range(draw(st.integers(0, 2)))
    ]
    return made


@st.composite
def catalogs(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    names = draw(st.sets(NAMES, max_size=5)) - {"good"}
    return {name: draw(st.lists(rows(name), max_size=4)) for name in sorted(names)}


class Fuzzer:
    """Counts, so that Envoy is asked now and then."""

    def __init__(self) -> None:
        self._count = 0

    def one(self, listed: dict[str, list[dict[str, Any]]]) -> None:
        for group in (ENVOY, GRPC):
            found = outcome(listed, _POLICY, group)
            assert found.good == _ALONE[group]
            bad = [problem for problem in found.problems if problem.code in _NEVER]
            assert bad == []
            for problem in found.problems:
                assert problem.source.isprintable(), problem
                assert problem.sentence.isprintable(), problem
            if group is ENVOY:
                self._look(found, listed)

    def _look(self, found: Outcome, listed: dict[str, list[dict[str, Any]]]) -> None:
        clashes = {problem.source for problem in found.problems if problem.code is Code.SERVICE_NAME_CLASH}
        valid = {name for name in listed if is_service_name(name) and f'service "{name}"' not in clashes}
        hidden = {name for name in listed if disabled(listed[name])}
        assert valid - hidden <= set(found.names(TypeUrl.CLUSTER)), json.dumps(listed)
        self._count += 1
        if self._count % EVERY == 1:
            answer = ask_envoy(static_bootstrap(found.snapshot), workplace())
            assert answer.returncode == 0, answer.stdout + answer.stderr


def disabled(listed: list[dict[str, Any]]) -> bool:
    """Tell whether a service may have said that it is not to be served."""
    return "enable" in json.dumps(listed)


TARGET = Target(name="resources", inputs=catalogs(), one=Fuzzer().one, batch=10)
