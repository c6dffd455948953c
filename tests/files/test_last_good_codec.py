"""Values to messages and back, and the schema that both have to agree on."""

import subprocess
import sys
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.files.last_good import LastGood, SourceId, codec
from xds_server.files.last_good.body import Encoder, decode
from xds_server.files.last_good.schema import PACKAGE, descriptor
from xds_server.model.catalog import Catalog, Instance, Service
from xds_server.model.entries import Override
from xds_server.model.policy import (
    CircuitBreakers,
    OutlierDetection,
    ServicePolicy,
    UpstreamFiles,
    UpstreamTls,
)
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Group
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.model.withheld import Kept, Refused, Withheld
from xds_server.runtime import control

ROOT = Path(__file__).parents[2]


# --- the schema -----------------------------------------------------------------------------------------


def classes(hint, found):
    """Collect every dataclass that a hint leads to."""
    if is_dataclass(hint) and hint not in found:
        found.add(hint)
        kinds = [ServicePolicy] if hint is Override else []
        for one in [*kinds, *get_type_hints(hint).values()]:
            classes(one, found)
    for argument in get_args(hint):
        classes(argument, found)
    return found


CLASSES = sorted(classes(LastGood, set()) | classes(SourceId, set()), key=codec.message_name)


@pytest.mark.parametrize("kind", CLASSES, ids=codec.message_name)
def test_every_field_of_a_class_is_a_field_of_its_message_and_the_other_way_round(kind):
    of = descriptor(codec.message_name(kind))
    written = [field.name for field in of.fields if field.name not in ("none", "empty")]

    assert written == [field.name for field in fields(kind)]


def test_every_message_is_of_a_class_or_holds_one():
    names = {codec.message_name(kind) for kind in CLASSES}
    unions = {"Gateway", "Node", "ServiceTls"}
    tuples = {"TextPair", "TextNumber", "TextTextNumber", "NumberPair"}

    assert set(descriptor("Catalog").file.message_types_by_name) == names | unions | tuples | {"Envelope"}


def test_every_scalar_tells_whether_it_is_set():
    for message in descriptor("Catalog").file.message_types_by_name.values():
        assert [one.name for one in message.fields if not (one.is_repeated or one.has_presence)] == []


def test_the_descriptors_are_what_comes_of_the_proto_file():
    script = ROOT / "scripts" / "generate-protos"

    subprocess.run([sys.executable, str(script), "--check"], check=True, timeout=60)


def test_the_package_of_the_proto_file_names_its_version():
    assert descriptor("Catalog").file.package == PACKAGE == "xds_server.last_good.v1"


# --- values ---------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SMALL = {
    str: TEXTS,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
}


def values(hint):
    """Give a strategy for any value of a hint."""
    match str(getattr(hint, "__origin__", hint)):
        case _ if hint in SMALL:
            return SMALL[hint]
        case _ if hint is Override:
            return overrides()
        case _ if is_dataclass(hint):
            hints = get_type_hints(hint)
            return st.deferred(lambda: st.builds(hint, **{name: values(one) for name, one in hints.items()}))
        case "<class 'tuple'>":
            items = get_args(hint)
            if items[-1] is Ellipsis:
                return st.lists(values(items[0]), max_size=2).map(tuple)
            return st.tuples(*(values(one) for one in items))
        case "<class 'frozenset'>":
            return st.frozensets(values(get_args(hint)[0]), max_size=2)
        case "<class 'collections.abc.Mapping'>" | "<class 'xds_server.model.table.Table'>" as kind:
            of = MappingProxyType if "Mapping" in kind else Table
            return st.dictionaries(SMALL[str], values(get_args(hint)[-1]), max_size=2).map(of)
        case _ if get_args(hint):
            return st.one_of(*(values(one) for one in get_args(hint)))
        case "<class 'NoneType'>":
            return st.none()
    return st.sampled_from(hint)


@st.composite
def overrides(draw):
    """Give an override of any field, with any value that a policy may have there."""
    name, hint = draw(st.sampled_from(sorted(get_type_hints(ServicePolicy).items(), key=lambda one: one[0])))
    return Override(field=name, value=draw(values(hint)), source=draw(TEXTS))


def named(state):
    """Give the state with its services under names that catalogs may have."""
    given = enumerate(state.catalog.services.values())
    services = {f"s{number:02d}": replace(one, name=f"s{number:02d}") for number, one in given}
    return replace(state, catalog=replace(state.catalog, services=Table(services)))


@given(values(LastGood).map(named))
def test_whatever_is_kept_comes_back_as_it_was(state):
    again = decode(Encoder().encode(state))

    kept = [
        (one.group, one.agent, one.refused, tuple(k for k in one.kept if "Secret" not in k.type))
        for one in state.withheld
    ]
    assert again.catalog == state.catalog
    assert again.pinned == state.pinned
    assert [(one.group, one.agent, one.refused, one.kept) for one in again.withheld] == kept
    assert list(again.catalog.services) == list(state.catalog.services)
    # What does not take part in comparison comes back as well.
    assert repr(again.catalog.services) == repr(state.catalog.services)
    assert repr(again.catalog.problems) == repr(state.catalog.problems)


@given(values(Catalog), st.randoms())
def test_the_bytes_of_a_service_that_stays_are_used_again(catalog, random):
    encoder = Encoder()
    encoder.encode(LastGood(catalog=catalog))
    fewer = dict(random.sample(list(catalog.services.items()), len(catalog.services) // 2))
    smaller = Catalog(datacenter="x", services=Table(fewer))

    assert encoder.encode(LastGood(catalog=smaller)) == Encoder().encode(LastGood(catalog=smaller))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outlier_detection", None),
        ("outlier_detection", OutlierDetection(always_eject_one_host=None)),
        ("hash_on", ()),
        ("ring_size", (None, 7)),
        ("connect_timeout", 5.0),
        ("circuit_breakers", CircuitBreakers()),
        ("tls", UpstreamTls(ca="ca", sans=("a",))),
        ("tls", UpstreamFiles(ca_file="/ca", sni="a")),
        ("panic_threshold", 0),
    ],
)
def test_the_value_of_an_override_is_kept_with_its_type(field, value):
    one = Override(field=field, value=value, source="s")

    assert codec.from_message(Override, codec.to_message(one)) == one


def state_of(**catalog):
    return LastGood(catalog=Catalog(datacenter="dc1", services=Table({}), **catalog))


def test_numbers_and_texts_that_cannot_be_written_become_the_nearest_that_can():
    one = Instance(node="n\ud800", id="i", address="a", port=10**40, created=-(10**40))
    catalog = Catalog.of("dc1", [Service.of("user", [one])])

    (again,) = decode(Encoder().encode(LastGood(catalog=catalog))).catalog.services["user"].instances

    assert (again.node, again.port, again.created) == ("n?", 2**63 - 1, -(2**63))


def test_a_problem_of_a_newer_version_is_left_out_alone():
    problems = tuple(Problem(code=code, source="s", sentence="x") for code in list(Code)[:2])
    body = Encoder().encode(state_of(problems=problems)).replace(b"service-name", b"service-eman", 1)

    assert [one.code for one in decode(body).catalog.problems] == [list(Code)[1]]


def test_no_secret_is_kept_even_if_it_is_among_what_is_served_in_place_of_something():
    kept = tuple(Kept(type=one, name="n", packed=b"CANARY-KEY") for one in (TypeUrl.SECRET, TypeUrl.CLUSTER))
    refused = (Refused(type=TypeUrl.SECRET, name="n", version="1", by=("e",)),)
    state = LastGood(
        catalog=Catalog.of("dc1", ()),
        withheld=(Withheld(group=Group(), agent="a", refused=refused, kept=kept),),
    )

    (again,) = decode(Encoder().encode(state)).withheld

    assert [one.type for one in again.kept] == [TypeUrl.CLUSTER]
    assert again.refused == refused


def test_a_service_of_a_name_that_no_source_gives_is_left_out_alone():
    catalog = Catalog.of("dc1", [Service.of(name, []) for name in ("user", "../x", "a\r\nb")])

    assert list(decode(Encoder().encode(LastGood(catalog=catalog))).catalog.services) == ["user"]


def test_what_an_operator_pinned_is_kept():
    pinned = control.Kept(
        kind=control.Kind.ROLLED_BACK, number=7, at=1.5, since=2.5, by="uid 0 pid 1", reason="an incident"
    )
    state = LastGood(catalog=Catalog.of("dc1", ()), pinned=pinned)

    assert decode(Encoder().encode(state)).pinned == pinned
    assert asdict(pinned)
