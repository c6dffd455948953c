"""What is put together as it goes: it is what a fresh look gives, and costs what changed."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.consul.fake_consul import row
from tests.rig.catalogs import instance, service
from tests.rig.work import steps
from xds_server.consul.assembly import Assembly
from xds_server.consul.decode import ServiceAnswer, decode_service
from xds_server.consul.merge import Merger
from xds_server.model.catalog import Catalog, Service
from xds_server.model.problem import Code, Problem
from xds_server.model.table import Table, differing

_NAMES = ("a", "b", "c", "d")
_NODES = ("n1", "n2", "n3")
_instances = st.sets(st.tuples(st.sampled_from(_NODES), st.integers(80, 83)), max_size=4)
_names = st.sampled_from(_NAMES)
_happenings = st.lists(
    st.one_of(
        st.tuples(st.just("list"), st.sets(_names), st.booleans()),
        st.tuples(st.just("read"), _names, _instances),
        st.tuples(st.just("add"), _names, _instances),
        st.tuples(st.just("give up"), _names, st.just(None)),
        st.tuples(st.just("look"), st.just(""), st.just(None)),
    ),
    max_size=20,
)


def answer(name: str, instances: set[tuple[str, int]]) -> ServiceAnswer:
    rows = [row(name, node=node, port=port) for node, port in sorted(instances)]
    # One row that cannot be read, so that there are problems as well.
    return decode_service(name, json.dumps([*rows, {"Service": {"ID": len(rows)}}]).encode())


def _happen(made: Assembly, what: str, names, more) -> None:
    match what:
        case "list":
            problem = Problem(code=Code.SERVICE_NAME, source="consul services", sentence="Bad.")
            made.believe_list(frozenset(names), (problem,) if more else ())
        case "read":
            made.believe_service(answer(names, more))
        case "add":
            made.believe_additions(answer(names, more), made.instances(names))
        case "give up":
            made.give_up(names, "Broken.")
        case "look":
            made.catalog()


@given(_happenings)
@settings(deadline=None)
def test_a_catalog_is_what_a_fresh_look_at_all_parts_gives(happenings) -> None:
    made = Assembly("dc1")
    for what, names, more in happenings:
        before = made.catalog() if what == "look" else None
        _happen(made, what, names, more)
        found = made.catalog()
        assert before is None or found is before
        services = made._services
        problems = [*made._name_problems, *(one for some in made._problems.values() for one in some)]
        assert found == Catalog.of("dc1", services.values(), problems)
        assert list(found.services) == sorted(services)
        assert made.catalog() is found
        for node in _NODES:
            there = {
                one.name for one in services.values() if any(each.node == node for each in one.instances)
            }
            assert made.services_on({node}) == there


def test_an_answer_costs_the_same_in_any_catalog() -> None:
    found = []
    for count in (100, 1000):
        made = Assembly("dc1")
        names = [f"s{number:04}" for number in range(count)]
        made.believe_list(frozenset(names), ())
        for name in names:
            made.believe_service(answer(name, {("n1", 80)}))
        made.catalog()
        one = answer("s0042", {("n1", 80), ("n2", 81)})

        def take(made=made, one=one) -> None:
            made.believe_service(one)
            made.catalog()
            made.services_on({"n2"})

        found.append(steps(take))
        assert made.services_on({"n2"}) == {"s0042"}
    assert found[1] < 1.1 * found[0], found


def test_the_problems_of_others_are_not_sorted_again() -> None:
    found = []
    for count in (10, 640):
        made = Assembly("dc1")
        for number in range(count):
            made.give_up(f"s{number:04}", "Broken.")
        made.catalog()
        found.append(steps(lambda made=made: (made.give_up("s0003", "Still broken."), made.catalog())))
        assert len(made.catalog().problems) == count
    # A search by halves.
    assert found[1] < 2 * found[0], found


# --- datacenters --------------------------------------------------------------------------------------------

_parts = st.dictionaries(_names, st.integers(1, 3), max_size=4)
_moves = st.lists(st.tuples(st.integers(0, 2), _parts, st.booleans()), min_size=1, max_size=10)


def _made(counts: dict[str, int]) -> dict[str, Service]:
    return {
        name: service(name, *(instance(f"{name}-{n}") for n in range(count)))
        for name, count in counts.items()
    }


@given(_moves)
@settings(deadline=None)
def test_merged_catalogs_are_what_a_fresh_look_at_all_gives(moves) -> None:
    merger, parts = Merger(), [Catalog.of("dc1", ())]
    last = merger.merged(parts[0], (), frozenset())
    for number, counts, related in moves:
        which = min(number, len(parts))
        if which == len(parts):
            parts.append(Catalog.of(f"dc{which + 1}", ()))
        old = parts[which]
        services = old.services.becoming(_made(counts)) if related else Table(_made(counts))
        parts[which] = Catalog(datacenter=old.datacenter, services=services)
        found = merger.merged(parts[0], parts[1:], frozenset())
        assert found == Merger().merged(parts[0], parts[1:], frozenset())
        assert differing(last.services, found.services) <= differing(old.services, services)
        last = found


def test_a_change_in_a_datacenter_costs_the_same_in_any_catalog() -> None:
    found = []
    for count in (100, 1000):
        own = Catalog.of("dc1", _made({f"s{number}": 1 for number in range(count)}).values())
        other = Catalog.of("dc2", _made({f"s{number}": 2 for number in range(count)}).values())
        merger = Merger()
        merger.merged(own, [other], frozenset())
        moved = Catalog(datacenter="dc1", services=own.services.changed(_made({"s7": 3})))
        found.append(
            steps(lambda merger=merger, moved=moved, other=other: merger.merged(moved, [other], frozenset()))
        )
    assert found[1] < 1.1 * found[0], found
