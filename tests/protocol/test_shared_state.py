"""What streams in the same state share: what they hold of their own does not grow with what there is."""

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from tests.protocol.resources import CDS, EDS, LDS, RDS, endpoints, service, snapshot, web
from tests.protocol.talk import TALKS, DeltaTalk
from xds_server.protocol import assembled
from xds_server.protocol.recent import Recent
from xds_server.protocol.wanted import Wanted

MANY = [f"s{number:03}" for number in range(300)]
OLD = snapshot(*map(service, MANY), web("l", "s000"))
MOVED = snapshot(
    *map(service, MANY[1:]), service("s000")[0], endpoints("s000", "2"), web("l", "s000"), after=OLD
)
NAMES = {CDS: (), EDS: tuple(MANY), LDS: (), RDS: ("l",)}


@pytest.fixture(params=TALKS)
def begin(request):
    return TALKS[request.param]


def settled(begin, snap=OLD, order=tuple(NAMES)):
    talk = begin(snap)
    for type_url in order:
        assert talk.ask(type_url, *NAMES[type_url])
        talk.ack(type_url)
    return talk


def own(talk):
    """Everything a stream holds by name, of all types."""
    return [
        name
        for state in talk.machine.types.values()
        for ledger in [state.ledger]
        for kept in (
            ledger.sent.exceptions,
            ledger.rejected,
            ledger._before,
            ledger._refusals,
            ledger._several,
            state.due,
            state.dirty,
        )
        for name in kept
    ]


def test_a_stream_that_has_acknowledged_everything_holds_nothing_by_name(begin):
    talk = settled(begin)
    assert own(talk) == []

    talk.offer(MOVED)
    assert own(talk) == ["s000"]
    talk.ack(EDS)
    assert own(talk) == []


def test_what_is_rejected_is_all_that_is_held(begin):
    talk = settled(begin)
    talk.offer(MOVED)
    talk.reject(EDS)

    assert set(own(talk)) == {"s000"}


def test_streams_that_want_the_same_hold_one_value(begin):
    one, other = settled(begin), settled(begin, order=(LDS, RDS, CDS, EDS))

    for snap in (OLD, MOVED):
        one.machine.offer(snap)
        other.machine.offer(snap)
        for type_url in NAMES:
            mine, others = (talk.machine.types[type_url] for talk in (one, other))
            assert mine.wanted is others.wanted
            assert mine.subscription.names is others.subscription.names


def test_a_change_is_put_together_once_for_all_streams(begin, monkeypatch):
    made = []
    init = assembled.Message.__init__

    def counted(message, *args):
        made.append(message)
        init(message, *args)

    talks = [settled(begin), settled(begin, order=(LDS, RDS, CDS, EDS))]
    monkeypatch.setattr(assembled.Message, "__init__", counted)
    monkeypatch.setattr(assembled, "_MESSAGES", Recent(1_000_000))
    payloads = []
    for talk in talks:
        talk.machine.offer(MOVED)
        payloads += [response.payload for response in talk.machine.outbox(0.0)]

    assert len(made) == 1
    assert payloads[0] is payloads[1]


def test_a_stream_that_lags_is_sent_all_it_missed(begin):
    """One step behind is the plain case; two steps are not."""
    later = snapshot(
        *map(service, MANY[2:]),
        service("s000")[0],
        service("s001")[0],
        endpoints("s000", "2"),
        endpoints("s001", "3"),
        web("l", "s000"),
        after=MOVED,
    )
    talk = settled(begin)
    talk.machine.offer(MOVED)

    assert [one.resources for one in talk.offer(later)] == [{"s000": "2", "s001": "3"}]
    talk.ack(EDS)
    assert own(talk) == []
    # And there is nothing to send where it went back before it was sent.
    talk.machine.offer(MOVED)
    assert talk.offer(later) == []
    assert own(talk) == []


def test_clients_that_come_back_hold_what_others_hold():
    has = {name: one.version for name, one in OLD.sets[EDS].by_name.items()}
    talks = [DeltaTalk(OLD), DeltaTalk(OLD)]
    for talk in talks:
        assert talk.ask(EDS, *MANY, has=has) == []
        assert own(talk) == []

    assert talks[0].answer.claims is talks[1].answer.claims
    assert talks[0].answer.resources is talks[1].answer.resources


def test_clients_that_come_back_a_change_behind_say_the_same_once():
    has = {name: one.version for name, one in OLD.sets[EDS].by_name.items()}
    talks = [DeltaTalk(MOVED), DeltaTalk(MOVED)]
    for talk in talks:
        (sent,) = talk.ask(EDS, *MANY, has=dict(has))
        assert sent.resources == {"s000": "2"}

    assert talks[0].answer.claims == has
    assert talks[0].answer.claims is talks[1].answer.claims


def test_an_ack_alone_is_not_looked_into_for_names(monkeypatch):
    talk = settled(DeltaTalk)
    talk.offer(MOVED)

    def change(*_):
        raise AssertionError("there was nothing to change")

    monkeypatch.setattr(type(talk.machine.types[EDS].subscription), "change", change)
    request = DeltaDiscoveryRequest(type_url=EDS, response_nonce=talk.latest[EDS])
    assert talk.machine.receive(request, 0.0).resources.keys() == {"s000"}


def test_a_change_looks_at_what_changed_and_not_at_the_rest(begin, monkeypatch):
    """What the stream wants in all is put together for who asks for all of it, and not for a change."""
    talk = settled(begin)

    def found(_):
        raise AssertionError("all resources were gone through")

    monkeypatch.setattr(Wanted, "_found", found)
    assert len(talk.offer(MOVED)) == 1
    talk.ack(EDS)
