"""Who lags is named, once, and nobody else; and so is a snapshot that is behind."""

import logging
import time
from types import SimpleNamespace

import pytest

from tests.protocol.resources import service, snapshot
from xds_server import telemetry
from xds_server.model.problem import Code
from xds_server.model.proxy import Proxy
from xds_server.model.types import TypeUrl
from xds_server.protocol.ledger import Ledger
from xds_server.runtime.fleet import Fleet, Session
from xds_server.runtime.truth import TruthMonitor, missing

CDS, EDS = TypeUrl.CLUSTER, TypeUrl.ENDPOINTS
ONE = snapshot(service("a")).sets[CDS].by_name


def session(node="edge-1", **ledgers):
    """A session whose machine has these ledgers: `session(clusters=Ledger())`."""
    names = {"clusters": CDS, "endpoints": EDS}
    types = {names[name]: SimpleNamespace(ledger=ledger) for name, ledger in ledgers.items()}
    return Session(
        proxy=Proxy(id=node),
        variant="delta",
        peer="ipv4:127.0.0.1:1",
        since=0.0,
        machine=SimpleNamespace(types=types),
        node=b"",
    )


def fleet_of(*sessions):
    # `enter` of a stand-in is all that is needed here.
    fleet = Fleet()
    for one in sessions:
        fleet.enter(one)
    return fleet


def monitor(fleet, behind=lambda: None):
    return TruthMonitor(fleet, behind)


def lagging(truth):
    return [problem.source for problem in truth.problems()]


def sample(name):
    return telemetry.REGISTRY.get_sample_value(name)


def told(caplog, event):
    return [record.fields for record in caplog.records if record.message == event]


def test_who_does_not_answer_for_a_minute_is_named_and_nobody_else(caplog):
    slow, good = Ledger(), Ledger()
    truth = monitor(
        fleet_of(session("edge-1", clusters=slow, endpoints=Ledger()), session("b", clusters=good))
    )
    with caplog.at_level(logging.DEBUG, "xds_server"):
        slow.record("1", "v", ONE, at=0.0)
        for now in range(0, 60, 10):
            good.record(f"g{now}", "v", ONE, at=now)
            truth.look(now)
            good.acknowledge(f"g{now}", now)
            assert lagging(truth) == []
        assert sample("xds_client_lag_seconds_max") == 50
        truth.look(60.0)
        truth.look(70.0)

    (problem,) = truth.problems()
    assert problem.code is Code.CLIENT_LAGGING
    assert problem.source == "client 'edge-1' Cluster"
    assert "has not answered" in problem.sentence
    assert sample("xds_lagging_clients") == 1
    assert sample("xds_client_lag_seconds_max") == 70
    (event,) = told(caplog, "client.lagging")
    assert (event["node"], event["type"], event["seconds"]) == ("edge-1", "Cluster", 60)


def test_it_is_over_when_it_answers(caplog):
    slow = Ledger()
    truth = monitor(fleet_of(session(clusters=slow)))
    slow.record("1", "v", ONE, at=0.0)
    truth.look(0.0)
    truth.look(60.0)
    with caplog.at_level(logging.DEBUG, "xds_server"):
        slow.acknowledge("1", 61.0)
        truth.look(70.0)
        truth.look(80.0)

    assert lagging(truth) == []
    assert len(told(caplog, "client.caught_up")) == 1
    assert (sample("xds_lagging_clients"), sample("xds_client_lag_seconds_max")) == (0, 0)


def test_it_is_over_when_its_stream_ends():
    slow, fleet = Ledger(), Fleet()
    one = session(clusters=slow)
    fleet.enter(one)
    truth = monitor(fleet)
    slow.record("1", "v", ONE, at=0.0)
    truth.look(0.0)
    truth.look(60.0)
    assert len(lagging(truth)) == 1
    fleet._sessions.clear()
    truth.look(70.0)
    assert lagging(truth) == []
    assert not truth._missing


def test_a_client_that_always_has_something_to_answer_does_not_lag_while_it_answers():
    busy = Ledger()
    truth = monitor(fleet_of(session(endpoints=busy)))
    for now in range(300):
        busy.record(str(now), "v", ONE, at=now)
        if now:
            busy.acknowledge(str(now - 1), now)
        truth.look(now)
        assert lagging(truth) == []


def test_the_wall_clock_raises_no_alarm():
    """The times of a ledger are a wall clock's, which may be set by a day."""
    ledger = Ledger()
    truth = monitor(fleet_of(session(clusters=ledger)))
    ledger.record("1", "v", ONE, at=-86_400.0)
    truth.look(0.0)
    truth.look(10.0)
    assert lagging(truth) == []


def test_who_rejects_lags_as_well_until_it_accepts_another_version():
    ledger = Ledger()
    truth = monitor(fleet_of(session(clusters=ledger)))
    ledger.record("1", "v", ONE, at=0.0)
    ledger.reject("1", 1.0, "no good")
    truth.look(0.0)
    truth.look(60.0)
    (problem,) = truth.problems()
    assert "rejects" in problem.sentence

    ledger.record("2", "w", snapshot(service("a", "2")).sets[CDS].by_name, at=62.0)
    ledger.acknowledge("2", 62.0)
    truth.look(70.0)
    assert lagging(truth) == []


def test_a_node_id_is_shown_escaped_and_cut():
    ledger = Ledger()
    truth = monitor(fleet_of(session("\x1b[31m" + "x" * 5000 + "\n", clusters=ledger)))
    ledger.record("1", "v", ONE, at=0.0)
    truth.look(0.0)
    truth.look(60.0)
    (problem,) = truth.problems()
    assert "\x1b" not in problem.sentence + problem.source
    assert len(problem.sentence) < 500


def test_of_a_whole_fleet_a_hundred_are_named_and_all_counted(caplog):
    ledgers = [Ledger() for _ in range(250)]
    truth = monitor(fleet_of(*(session(f"n{number}", clusters=one) for number, one in enumerate(ledgers))))
    for one in ledgers:
        one.record("1", "v", ONE, at=0.0)
    with caplog.at_level(logging.DEBUG, "xds_server"):
        truth.look(0.0)
        truth.look(60.0)
    assert len(lagging(truth)) == len(told(caplog, "client.lagging")) == 100
    assert sample("xds_lagging_clients") == 250


def test_a_snapshot_that_is_not_renewed_is_told_and_one_that_is_always_late_but_renewed_is_not(caplog):
    builds = iter([1, 1, 1, 1, 1, 1, None, *range(2, 100)])
    truth = monitor(Fleet(), lambda: next(builds))
    with caplog.at_level(logging.DEBUG, "xds_server"):
        for now in (0, 20, 40, 59):
            truth.look(now)
            assert lagging(truth) == []
        truth.look(60)
        truth.look(70)
        assert lagging(truth) == ["pipeline"]
        assert sample("xds_snapshot_behind") == 1
        truth.look(80)
        assert lagging(truth) == []
        for now in range(90, 300, 10):
            truth.look(now)
            assert lagging(truth) == []
    assert len(told(caplog, "snapshot.behind")) == 1
    assert sample("xds_snapshot_behind") == 0


@pytest.mark.parametrize("streams", [1000])
def test_a_look_costs_little(streams):
    """1,000 streams that were sent 1,000 resources each, and answered: only what is open is looked at."""
    many = snapshot(*(service(f"s{number}") for number in range(1000))).sets[CDS].by_name
    sessions = []
    for number in range(streams):
        ledger = Ledger()
        ledger.record("1", "v", many, at=0.0)
        if number % 2:
            ledger.acknowledge("1", 0.0)
        sessions.append(session(f"n{number}", clusters=ledger, endpoints=Ledger()))
    started = time.process_time()
    found = {}
    for now in range(10):
        found = missing(sessions, found, now)
    assert len(found) == streams / 2
    # It takes about 2 ms; were resources looked at, it would be a million of them.
    assert (time.process_time() - started) / 10 < 0.05
