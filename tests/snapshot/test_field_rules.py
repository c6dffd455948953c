"""Envoy's own field rules: every kind that its API has is asked, and a real Envoy asks the same."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.protocol_pb2 import QuicKeepAliveSettings
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from validate import validate_pb2

import xds_server.translate
from tests.rig.static_bootstrap import ask_envoy
from tests.snapshot.rule_rows import OTHER, ROWS, Row, as_draft, cluster, section
from xds_server.model.types import TypeUrl
from xds_server.snapshot.check import check
from xds_server.snapshot.check.fields import broken, message_class, plan_of
from xds_server.snapshot.check.rules import UnknownRuleError, value_rules
from xds_server.translate.packing import draft, pack

by_kind = pytest.mark.parametrize("row", ROWS, ids=[f"{n}-{row.kind}" for n, row in enumerate(ROWS)])

# Kinds of which nothing can be told from a value that breaks them, or that only come with another one.
BESIDE = {
    "string.strict",
    "repeated.items.string.strict",
    "bytes.min_len",
    "uint64.gte",
    "duration.lte",
    "repeated.items.uint32.lt",
}


def envoy_says(folder: Path, *resources: dict) -> str:
    """Give what Envoy objects to, empty if nothing."""
    found: dict[str, list] = {"clusters": [{**cluster(), "name": OTHER}], "listeners": []}
    for one in resources:
        found[section(one)].append(one)
    node = {"id": "n", "cluster": "n"}
    answer = ask_envoy(json.dumps({"node": node, "static_resources": found}), folder)
    return "" if answer.returncode == 0 else answer.stdout + answer.stderr


@by_kind
def test_what_breaks_a_rule_is_refused_by_us_as_by_envoy(row: Row, tmp_path: Path) -> None:
    checked = check(as_draft(row.bad))
    said = envoy_says(tmp_path, row.bad)

    assert checked.draft is None
    assert checked.complaints[0].startswith((f"{row.path} is ", f"{row.path}: ")), checked.complaints
    assert "ValidationError" in said or "Invalid duration" in said, said


@by_kind
def test_its_neighbour_keeps_it(row: Row) -> None:
    assert check(as_draft(row.good)).complaints == ()


def test_envoy_takes_all_neighbours(tmp_path: Path) -> None:
    every = [{**row.good, "name": f"x{number}"} for number, row in enumerate(ROWS)]
    assert envoy_says(tmp_path, *every) == ""


# --- all there are -------------------------------------------------------------------------------------


def reachable() -> dict[str, Descriptor]:
    """Give every message type that can be in what we send, by name."""
    for module in pkgutil.walk_packages(xds_server.translate.__path__, "xds_server.translate."):
        importlib.import_module(module.name)
    waiting = [message_class(type_url).DESCRIPTOR for type_url in TypeUrl]
    # What travels in an `Any`: all that translation imports.
    waiting += extensions()
    found: dict[str, Descriptor] = {}
    while waiting:
        one = waiting.pop()
        if one.full_name not in found:
            found[one.full_name] = one
            waiting.extend(field.message_type for field in one.fields if field.message_type is not None)
    return found


def extensions() -> Iterator[Descriptor]:
    for folder in xds_server.translate.__path__:
        for file in Path(folder).glob("*.py"):
            for name in re.findall(r"^from (envoy\.extensions\.\S+) import", file.read_text(), re.MULTILINE):
                yield from importlib.import_module(name).DESCRIPTOR.message_types_by_name.values()


def kinds(rules, before: str = "") -> Iterator[str]:
    """Give the kinds of rule in a `FieldRules`, as `repeated.items.string.min_len`."""
    yield from (f"{before}message.{option.name}" for option, _ in rules.message.ListFields())
    kind = rules.WhichOneof("type")
    for option, inner in [] if kind is None else getattr(rules, kind).ListFields():
        if option.name in ("items", "keys", "values"):
            yield from kinds(inner, f"{before}{kind}.{option.name}.")
        else:
            yield f"{before}{kind}.{option.name}"


def test_every_message_that_can_be_sent_has_rules_that_can_be_asked() -> None:
    found = reachable()
    for descriptor in found.values():
        plan_of(descriptor)
    assert len(found) > 300


def test_every_kind_of_rule_there_is_has_a_row() -> None:
    there = set()
    for descriptor in reachable().values():
        for field in descriptor.fields:
            there.update(kinds(field.GetOptions().Extensions[validate_pb2.rules]))
        for oneof in descriptor.oneofs:
            if oneof.GetOptions().Extensions[validate_pb2.required]:
                there.add("oneof.required")

    assert there - BESIDE == {row.kind for row in ROWS}


def test_a_kind_that_cannot_be_asked_is_an_error_and_not_passed_over() -> None:
    field = HeaderValue.DESCRIPTOR.fields_by_name["key"]
    rules = validate_pb2.FieldRules(string=validate_pb2.StringRules(hostname=True))

    with pytest.raises(UnknownRuleError, match=r"string.hostname of envoy.config.core.v3.HeaderValue.key"):
        value_rules(field, rules)


# --- what no row shows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("milliseconds", "fine"), [(0, True), (0.5, False), (1, True), (60_000, True)], ids=str
)
def test_bounds_the_wrong_way_round_forbid_what_is_between_them(milliseconds: float, fine: bool) -> None:
    message = QuicKeepAliveSettings(initial_interval=Duration(nanos=0))
    message.initial_interval.FromMicroseconds(int(milliseconds * 1000))

    assert (broken(message) == ()) is fine


def test_an_any_is_looked_into_at_every_level_but_not_for_ever() -> None:
    inner = pack(HeaderValue(key=""))
    for _ in range(3):
        inner = pack(TypedExtensionConfig(name="x", typed_config=inner))
    path = ".".join(["typed_config"] * 3)

    assert [one[0] for one in broken(TypedExtensionConfig(name="x", typed_config=inner))] == [
        f"{path}.typed_config.key"
    ]
    for _ in range(30):
        inner = pack(TypedExtensionConfig(name="x", typed_config=inner))
    assert "deeper than 16" in broken(TypedExtensionConfig(name="x", typed_config=inner))[0][2]


def test_what_is_in_an_any_has_to_be_what_it_says_and_may_be_unknown() -> None:
    url = "type.googleapis.com/envoy.config.core.v3.HeaderValue"
    wrong = TypedExtensionConfig(name="x", typed_config=AnyMessage(type_url=url, value=b"\xff"))
    other = TypedExtensionConfig(name="x", typed_config=AnyMessage(type_url="a/no.such.Type", value=b"\xff"))

    assert broken(wrong) == (("typed_config", url, "which is not what is in it"),)
    assert broken(other) == ()


def test_a_complaint_about_a_secret_shows_no_value() -> None:
    message = Secret(name="s")
    message.tls_certificate.private_key.inline_string = "canary"
    message.tls_certificate.private_key_provider.provider_name = ""
    message.tls_certificate.password.environment_variable = ""
    message.session_ticket_keys.keys.add(inline_bytes=b"")
    message.generic_secret.secret.filename = ""
    complaints = check(draft(TypeUrl.SECRET, "s", message)).complaints

    assert complaints
    assert all(" is " not in one and "canary" not in one for one in complaints)


def test_a_message_that_is_wrong_a_thousand_times_is_told_in_a_few_sentences() -> None:
    many = [{"prefix": "/"} for _ in range(1000)]
    complaints = check(
        as_draft({**cluster(), "health_checks": [{"http_health_check": {"path": "/"}} for _ in many]})
    ).complaints

    assert len(complaints) == 6
    assert complaints[-1] == "And 3995 more."
