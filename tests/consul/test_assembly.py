import json
from typing import Any

from tests.consul.fake_consul import row
from xds_server.consul.assembly import Assembly
from xds_server.consul.decode import ServiceAnswer, decode_service
from xds_server.model.catalog import Catalog
from xds_server.model.problem import Code, Problem


def answer(name: str, *rows: Any) -> ServiceAnswer:
    return decode_service(name, json.dumps(rows or [row(name)]).encode())


def assembly(*names: str) -> Assembly:
    made = Assembly("")
    made.believe_list(frozenset(names), ())
    return made


def test_the_gate_waits_for_every_service() -> None:
    made = assembly("a", "b")
    assert not made.complete
    made.believe_service(answer("a"))
    assert made.unsettled == {"b"}
    assert made.usable
    made.believe_service(answer("b"))
    assert made.complete


def test_the_gate_does_not_wait_for_what_was_given_up_unless_that_is_all() -> None:
    made = assembly("a", "b")
    made.give_up("a", "Broken.")
    made.give_up("b", "Broken.")
    assert not made.complete
    made.believe_service(answer("b"))
    assert made.complete
    catalog = made.catalog()
    assert list(catalog.services) == ["b"]
    (problem,) = catalog.problems
    assert (problem.code, problem.source) == (Code.SERVICE_UNREADABLE, 'consul service "a"')
    assert problem.sentence == "it is left out until it can be read. Broken."


def test_no_list_and_no_service_are_two_things() -> None:
    assert not Assembly("").complete
    assert assembly().complete


def test_a_failing_service_keeps_its_last_good_instances() -> None:
    made = assembly("a")
    made.believe_service(answer("a"))
    good = made.catalog().services["a"]
    made.give_up("a", "Broken.")
    assert made.catalog().services["a"] is good
    assert made.catalog().problems[0].sentence == "its last good instances are kept. Broken."
    made.believe_service(answer("a"))
    assert made.catalog().problems == ()
    assert made.catalog().services["a"] is good


def test_what_does_not_change_keeps_its_identity() -> None:
    made = assembly("a", "b")
    made.believe_service(answer("a", row("a", port=1), row("a", port=2)))
    made.believe_service(answer("b"))
    before = made.catalog()
    made.believe_service(answer("a", row("a", port=2, ModifyIndex=99), row("a", port=1)))
    assert made.catalog() is before
    made.believe_service(answer("a", row("a", port=1), row("a", port=2, Tags=["new"])))
    after = made.catalog()
    assert after is not before
    assert after.services["b"] is before.services["b"]
    assert after.services["a"].instances[0] is before.services["a"].instances[0]
    assert after.services["a"].instances[1] is not before.services["a"].instances[1]


def test_a_catalog_that_is_out_never_changes() -> None:
    made = assembly("a")
    made.believe_service(answer("a"))
    before = made.catalog()
    made.believe_list(frozenset({"b"}), ())
    made.believe_service(answer("b"))
    assert list(before.services) == ["a"]
    assert list(made.catalog().services) == ["b"]


def test_it_is_the_same_as_a_catalog_made_at_once() -> None:
    made = assembly("c", "a", "b")
    for name in ("c", "a", "b"):
        made.believe_service(answer(name))
    catalog = made.catalog()
    assert list(catalog.services) == ["a", "b", "c"]
    assert catalog == Catalog.of("dc1", [answer(name).service for name in ("b", "a", "c")])


def test_a_vanished_service_takes_its_problems_along() -> None:
    made = assembly("a")
    made.believe_service(answer("a", row("a"), None))
    assert len(made.catalog().problems) == 1
    made.believe_list(frozenset(), ())
    assert made.catalog() == Catalog.of("dc1", [])
    made.believe_list(frozenset({"a"}), ())
    assert not made.was_read("a")


def test_a_service_that_becomes_a_proxy_leaves() -> None:
    made = assembly("a")
    made.believe_service(answer("a"))
    made.believe_service(answer("a", row("a", Kind="connect-proxy")))
    assert made.catalog() == Catalog.of("dc1", [])
    assert made.complete


def test_problems_of_names_are_shown() -> None:
    problem = Problem(code=Code.SERVICE_NAME, source='consul service "a b"', sentence="No.")
    made = assembly()
    assert made.catalog().problems == ()
    made.believe_list(frozenset(), (problem,))
    assert made.catalog().problems == (problem,)
