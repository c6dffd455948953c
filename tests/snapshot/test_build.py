from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from hypothesis import given
from hypothesis import strategies as st

from tests.rig.drafts import tables
from xds_server.model.problem import Code, Problem
from xds_server.model.table import REMEMBERED, Table
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, Snapshot, build
from xds_server.snapshot.snapshot import set_version
from xds_server.translate import Draft
from xds_server.translate.packing import draft

# Name to content, for each of two types.
Content = Mapping[TypeUrl, Mapping[str, bytes]]

contents = st.fixed_dictionaries(
    {
        type_url: st.dictionaries(st.sampled_from("abcd"), st.sampled_from([b"1", b"2", b"3"]))
        for type_url in (TypeUrl.CLUSTER, TypeUrl.ROUTES)
    }
)

MADE: Final = {
    TypeUrl.CLUSTER: lambda name, content: Cluster(name=name, alt_stat_name=content),
    TypeUrl.ROUTES: lambda name, content: RouteConfiguration(
        name=name, virtual_hosts=[VirtualHost(name=content, domains=["*"])]
    ),
}

PROBLEM = Problem(code=Code.ENDPOINT_PORT, source="user-1", sentence="has no port")


def drafts(content: Content) -> dict[TypeUrl, Table[Draft]]:
    # Bytes of their own each time: equal content is to be found by what it is, not by where it lies.
    return tables(
        draft(type_url, name, MADE[type_url](name, packed.decode()))
        for type_url, by_name in content.items()
        for name, packed in by_name.items()
    )


def after(previous: Snapshot, content: Content, problems: Iterable[Problem] = ()) -> Snapshot:
    return build(drafts(content), problems, previous)


def clusters(**content: bytes) -> Content:
    return {TypeUrl.CLUSTER: content}


def held(snapshot: Snapshot) -> dict[TypeUrl, dict[str, bytes]]:
    return {
        type_url: {name: one.packed for name, one in found.by_name.items()}
        for type_url, found in snapshot.sets.items()
    }


def versions(snapshot: Snapshot) -> dict[TypeUrl, str]:
    return {type_url: found.version for type_url, found in snapshot.sets.items()}


# --- versions ------------------------------------------------------------------------------------------


@given(contents, contents)
@pytest.mark.shows("P-020", "P-021", "T-CA-14", "T-RC-06")
def test_equal_content_and_equal_version_go_together(one: Content, other: Content) -> None:
    first, second = after(EMPTY, one), after(EMPTY, other)

    for type_url in one:
        assert (first.sets[type_url].version == second.sets[type_url].version) is (
            one[type_url] == other[type_url]
        )


@given(st.lists(contents, min_size=1, max_size=5))
@pytest.mark.shows("P-021")
def test_what_was_there_before_is_not_in_the_version(history: list[Content]) -> None:
    snapshot = EMPTY
    for content in history:
        snapshot = after(snapshot, content)

    restarted = after(EMPTY, history[-1])

    assert versions(snapshot) == versions(restarted)
    assert held(snapshot) == held(restarted)


@given(contents, st.randoms(use_true_random=False))
@pytest.mark.shows("P-022")
def test_a_set_has_the_same_version_in_any_order(content: Content, random: Random) -> None:
    found = after(EMPTY, content).sets[TypeUrl.CLUSTER]
    resources = list(found.by_name.values())

    assert set_version(random.sample(resources, len(resources))) == found.version


def test_a_name_and_a_version_cannot_be_mistaken_for_others() -> None:
    made = {
        after(EMPTY, clusters(**content)).sets[TypeUrl.CLUSTER].version
        for content in ({"a": b"1"}, {"b": b"1"})
    }

    assert len(made) == 2


# --- what changed --------------------------------------------------------------------------------------


@given(st.lists(contents, min_size=2, max_size=6), st.data())
def test_the_changes_applied_to_the_old_give_the_new(history: list[Content], data: st.DataObject) -> None:
    chain = [EMPTY]
    for content in history:
        chain.append(after(chain[-1], content))
    old = chain[data.draw(st.integers(0, len(chain) - 1))]
    new = chain[-1]

    changed = new.may_differ(old)

    patched = held(old)
    for type_url, names in changed.items():
        for name in names:
            resource = new.resource(type_url, name)
            if resource is None:
                patched[type_url].pop(name, None)
            else:
                patched[type_url][name] = resource.packed
    assert patched == held(new)


@given(contents, contents)
def test_only_what_differs_is_named(one: Content, other: Content) -> None:
    old = after(EMPTY, one)
    new = after(old, other)

    changed = new.may_differ(old)

    for type_url in one:
        names = one[type_url].keys() | other[type_url].keys()
        differing = {name for name in names if one[type_url].get(name) != other[type_url].get(name)}
        assert changed.get(type_url, frozenset()) == differing


def test_a_reader_that_is_far_behind_is_told_what_differs() -> None:
    chain = [after(EMPTY, clusters(a=b"0", b=b"0"))]
    for number in range(1, REMEMBERED + 3):
        chain.append(after(chain[-1], clusters(a=b"%d" % number, b=b"0")))
    newest = chain[-1]

    assert all(newest.may_differ(old) == {TypeUrl.CLUSTER: {"a"}} for old in chain[:-1])
    assert newest.may_differ(newest) == {}


def test_a_name_that_changed_and_changed_back_may_be_named_but_has_its_old_version() -> None:
    first = after(EMPTY, clusters(a=b"1"))
    last = after(after(first, clusters(a=b"2")), clusters(a=b"1"))

    assert last.may_differ(first) == {TypeUrl.CLUSTER: {"a"}}
    assert versions(last) == versions(first)


# --- what did not change keeps its identity ------------------------------------------------------------


@pytest.mark.shows("T-SW-23")
def test_nothing_new_gives_back_the_snapshot_itself() -> None:
    first = after(EMPTY, clusters(a=b"1"), [PROBLEM])

    assert after(first, clusters(a=b"1"), [PROBLEM]) is first


def test_the_first_snapshot_is_new_even_if_it_is_empty() -> None:
    first = after(EMPTY, {})

    assert (EMPTY.sequence, first.sequence) == (0, 1)
    assert after(first, {}) is first


def test_a_new_problem_alone_makes_a_snapshot_with_the_same_sets() -> None:
    first = after(EMPTY, clusters(a=b"1"))
    second = after(first, clusters(a=b"1"), [PROBLEM])

    assert second.problems == (PROBLEM,)
    assert all(second.sets[type_url] is first.sets[type_url] for type_url in TypeUrl)
    assert second.may_differ(first) == {}


@pytest.mark.shows("T-CA-12")
def test_a_changed_resource_leaves_the_others_the_very_objects() -> None:
    first = after(EMPTY, {**clusters(a=b"1", b=b"1"), TypeUrl.ROUTES: {"r": b"1"}})
    second = after(first, {**clusters(a=b"2", b=b"1"), TypeUrl.ROUTES: {"r": b"1"}})

    assert second.resource(TypeUrl.CLUSTER, "a") is not first.resource(TypeUrl.CLUSTER, "a")
    assert second.resource(TypeUrl.CLUSTER, "b") is first.resource(TypeUrl.CLUSTER, "b")
    assert second.sets[TypeUrl.ROUTES] is first.sets[TypeUrl.ROUTES]


def test_problems_are_sorted_and_told_once() -> None:
    other = Problem(code=Code.DOMAIN_TAKEN, source="b", sentence="is taken")

    assert after(EMPTY, {}, [PROBLEM, other, PROBLEM]).problems == (other, PROBLEM)
