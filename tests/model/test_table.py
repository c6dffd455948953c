"""A table tells in which names it differs, from one it was made of and from any other."""

import random

import pytest

from xds_server.model.table import REMEMBERED, Table, differing

NAMES = [f"service-{number}" for number in range(12)]


def test_it_is_in_sorted_order_whatever_is_added() -> None:
    table = Table({"b": 1, "d": 2}).changed({"c": 3, "a": 4})
    assert list(table.items()) == [("a", 4), ("b", 1), ("c", 3), ("d", 2)]
    assert list(table.changed({"b": None})) == ["a", "c", "d"]


def test_what_changes_nothing_gives_the_same_table() -> None:
    value = object()
    table = Table({"a": value})
    assert table.changed({"a": value, "b": None}) is table
    assert differing(table, table) == frozenset()


def test_it_compares_like_any_mapping() -> None:
    assert Table({"a": 1}) == Table({"a": 1}) == {"a": 1}
    assert Table({"a": 1}) != Table({"a": 2})
    assert Table({"a": 1}).get("b", 7) == 7
    with pytest.raises(KeyError):
        Table({"a": 1})["b"]


@pytest.mark.parametrize("seed", range(20))
def test_every_pair_of_tables_of_a_line_differs_in_what_is_different(seed: int) -> None:
    source = random.Random(seed)  # noqa: S311 - made up values
    tables = [Table[object]({name: object() for name in NAMES[:6]})]
    values = [object() for _ in range(3)]
    for _ in range(30):
        changes = {name: source.choice([None, *values]) for name in source.sample(NAMES, 3)}
        tables.append(tables[-1].changed(changes))
    for old in tables:
        for new in tables:
            said = differing(old, new)
            assert said == {name for name in NAMES if old.get(name) is not new.get(name)}
            assert said == differing(dict(old), dict(new))


def test_two_tables_made_of_a_third_are_told_apart() -> None:
    third = Table[object]({name: object() for name in NAMES})
    one = third.changed({"service-1": object()}).changed({"service-2": object()})
    other = third.changed({"service-3": object()})
    assert one.changed_between(other) == {"service-1", "service-2", "service-3"}
    assert other.changed_between(one) == {"service-1", "service-2", "service-3"}
    assert differing(one, third) == {"service-1", "service-2"}


def test_what_is_long_ago_is_compared_and_not_remembered() -> None:
    first = table = Table[object]({name: object() for name in NAMES})
    for _ in range(REMEMBERED + 1):
        table = table.changed({"service-1": object()})
    assert table.changed_between(first) is None
    assert differing(first, table) == {"service-1"}


def test_the_names_that_changed_are_known_without_comparing() -> None:
    table = Table[object]({name: object() for name in NAMES})
    changed = table.changed({"service-3": object()}).changed({"service-4": object(), "service-5": None})
    assert changed.changed_between(table) == {"service-3", "service-4", "service-5"}
    assert Table(changed).changed_between(table) is None


def test_what_a_table_becomes_is_known_by_what_differs() -> None:
    table = Table[object]({name: object() for name in NAMES})
    new = object()
    later = table.becoming({**table, "a": new, "service-1": new})
    assert later.changed_between(table) == {"a", "service-1"}
    fewer = table.becoming({"service-1": table["service-1"], "b": new})
    assert list(fewer.items()) == [("b", new), ("service-1", table["service-1"])]
    assert table.becoming(dict(table)) is table


def test_more_names_than_there_are_values_are_not_remembered() -> None:
    many = {f"service-{number}": object() for number in range(REMEMBERED * 2)}
    table = first = Table[object](many)
    for _ in range(3):
        table = table.changed({name: object() for name in many})
    assert sum(len(names) for _, names in table.line) <= len(many)
    assert differing(first, table) == many.keys()
