"""How far Consul is to be trusted: what the watch reports, and what is made of it."""

import logging

import pytest

from xds_server.consul.errors import NO_SENTINEL, ConsulError, Cut, Doubted, Refused, Unreachable, Unreadable
from xds_server.consul.evidence import Bounds, Objection
from xds_server.consul.query import Answer
from xds_server.consul.standing import Facts, Report, judge
from xds_server.model.standing import Standing, State, replaced
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event

PASSES = [Unreachable("Down."), Cut("Cut."), Refused("/x", 500, ""), Refused("/x", 429, "")]
TO_MEND = [
    Refused("/x", 403, ""),
    Refused("/x", 404, ""),
    Refused("/x", 302, ""),
    Unreadable("Garbage."),
    Doubted("Doubted."),
    ConsulError("Wrong file."),
]
FINE = Answer(index=7, body=b"")


@pytest.mark.parametrize(
    ("error", "state"),
    [*((error, State.STALE) for error in PASSES), *((error, State.FROZEN) for error in TO_MEND)],
    ids=str,
)
@pytest.mark.parametrize("before", State)
def test_an_error_that_lasts_decides(error, state, before):
    assert judge(Facts(error=error, errors=2, answered=True), before) == (state, str(error))


@pytest.mark.parametrize("error", [*PASSES, *TO_MEND], ids=str)
def test_a_single_bad_answer_does_not_change_a_live_source(error):
    after_one = judge(Facts(error=error, errors=1, answered=True), State.LIVE)
    after_two = judge(Facts(error=error, errors=2, answered=True), State.LIVE)

    passes = isinstance(error, Cut | Refused | Unreadable)
    assert after_one == ((State.LIVE, "") if passes else after_two)


def test_what_is_well_is_live_without_a_reason():
    assert judge(Facts(answered=True, services=3), State.FROZEN) == (State.LIVE, "")


def test_what_was_never_read_is_stale():
    state, reason = judge(Facts(), State.STALE)

    assert state is State.STALE
    assert "not given the list of services yet" in reason


@pytest.mark.parametrize(("failing", "state"), [(0, State.LIVE), (2, State.LIVE), (3, State.FROZEN)])
def test_a_source_most_of_whose_services_cannot_be_read_is_frozen(failing, state):
    facts = Facts(answered=True, services=4, failing=failing, example="Grant it.")

    made, reason = judge(facts, State.LIVE)
    assert made is state
    assert reason in {"", "3 of 4 services cannot be read, one of them because: Grant it."}


# --- the report


@pytest.fixture
def cell():
    return Latest()


@pytest.fixture
def report(cell):
    made = Report(cell=cell, bounds=Bounds(max_stale=10, max_age=20), address="http://127.0.0.1:8500")
    made.begin()
    return made


@pytest.fixture
def events(caplog):
    caplog.set_level(logging.INFO, "xds_server")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "xds_server"]


def state_of(cell):
    (one,) = cell.value
    return one.state


def test_from_the_first_list_on_it_is_live(cell, report):
    assert state_of(cell) is State.STALE

    report.listed(FINE, 3)
    assert state_of(cell) is State.LIVE


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"known_leader": False}, State.STALE),
        ({"last_contact": 10_001}, State.STALE),
        ({"last_contact": 10_000}, State.LIVE),
        ({"age": 20.5}, State.STALE),
        ({"age": 20.0}, State.LIVE),
    ],
    ids=str,
)
def test_a_list_that_is_believed_and_old_is_stale(cell, report, answer, state):
    report.listed(Answer(index=7, body=b"", **answer), 3)

    assert state_of(cell) is state


def test_since_is_when_the_state_began_and_not_when_its_reason_changed(cell, report):
    report.listed(FINE, 3)
    report.list_failed(Doubted("One."))
    (first,) = cell.value
    report.list_failed(Doubted("Two."))
    (second,) = cell.value

    assert (second.state, second.reason) == (State.FROZEN, "Two.")
    assert second.since == first.since
    report.listed(FINE, 3)
    assert cell.value[0].since > first.since


def test_a_question_to_the_leader_changes_nothing(cell, report, events):
    report.listed(FINE, 3)
    before = cell.value

    report.list_failed(Objection("Asked.", adds=False, ask_leader=True))
    assert cell.value is before
    assert events() == [Event.CONSUL_CONNECTED]


def test_changes_are_logged_and_not_tries(report, events):
    report.listed(FINE, 3)
    for _ in range(3):
        report.listed(FINE, 3)
    for error in (Unreachable("a"), Unreachable("b"), Doubted(NO_SENTINEL), Doubted(NO_SENTINEL)):
        report.list_failed(error)
    for _ in range(2):
        report.list_failed(Refused("/x", 403, ""))
    report.listed(FINE, 3)

    assert events() == [
        Event.CONSUL_CONNECTED,
        Event.CONSUL_UNREACHABLE,
        Event.CONSUL_CATALOG_DOUBTED,
        Event.CONSUL_QUERY_FAILED,
        Event.CONSUL_CONNECTED,
    ]


def test_services_that_cannot_be_read_are_counted_once_each(cell, report):
    report.listed(FINE, 2)

    assert report.service_failing("a", "No rows.")
    assert not report.service_failing("a", "No rows.")
    assert state_of(cell) is State.LIVE
    assert report.service_failing("b", "No rows.")
    assert state_of(cell) is State.FROZEN
    assert report.service_read("b")
    assert not report.service_read("b")
    assert state_of(cell) is State.LIVE


def test_each_source_has_its_own_place_in_the_cell(cell, report):
    other = Report(cell=cell, bounds=Bounds(), address="http://127.0.0.2:8500", datacenter="dc2")
    other.begin()
    report.listed(FINE, 1)
    report.located("dc1")
    other.list_failed(Unreachable("Down."))

    assert [(one.source, one.state) for one in cell.value] == [
        ("consul dc1", State.LIVE),
        ("consul dc2", State.STALE),
    ]


def test_replaced_puts_a_first_standing_among_the_others():
    one, two = (Standing(source=name, state=State.LIVE, reason="", since=0) for name in ("b", "a"))

    assert replaced((), None, one) == (one,)
    assert replaced((one,), None, two) == (two, one)
    assert replaced((two, one), one, one) == (two, one)
    assert replaced((two, one), None, one) == (two, one)
