"""One snapshot, many streams: what they share, and what none of them leaves behind."""

import gc
import weakref

import pytest

from tests.protocol.resources import CDS, EDS, LDS, RDS, SDS, secret, service, snapshot, web
from tests.protocol.talk import TALKS
from xds_server.snapshot import Resource

OLD = snapshot(service("a"), service("b"), web("l", "a"), secret("s"))
NEW = snapshot(service("a", "2"), service("b", "2"), web("l", "b"), secret("s", "2"), after=OLD)
NAMES = {CDS: (), EDS: ("a", "b"), LDS: (), RDS: ("l",), SDS: ("s",)}
HERD = 500


@pytest.fixture(params=TALKS)
def begin(request):
    return TALKS[request.param]


def settled(begin, snap):
    talk = begin(snap)
    for type_url, names in NAMES.items():
        assert talk.ask(type_url, *names)
        talk.ack(type_url)
    return talk


@pytest.mark.shows("T-CA-12")
def test_nothing_is_encoded_for_a_stream(begin, monkeypatch):
    def encode(*_):
        raise AssertionError("a resource was encoded again")

    monkeypatch.setattr(Resource, "of", encode)

    for talk in [settled(begin, OLD) for _ in range(10)]:
        assert talk.offer(NEW)


@pytest.mark.shows("T-CA-03")
def test_a_batch_of_changes_is_one_version_and_one_response(begin):
    talk = settled(begin, OLD)

    pushed = talk.offer(NEW)

    assert [one.type for one in pushed if one.type is CDS] == [CDS]
    assert pushed[1].resources == {"a": "2", "b": "2"}
    assert NEW.sequence == OLD.sequence + 1


@pytest.mark.shows("T-CA-04", "T-CA-05")
def test_a_stream_that_is_gone_is_known_to_nobody(begin):
    """There is no list of watches to be taken from: a machine is held by its stream alone."""
    talk = settled(begin, OLD)
    talk.ask(EDS, "a", "z")
    gone = weakref.ref(talk.machine)
    del talk
    gc.collect()

    assert gone() is None


@pytest.mark.shows("T-RC-13")
def test_a_herd_is_answered_stream_by_stream(begin):
    """All that a stream adds is its ledger: one does not wait for, or learn of, another."""
    herd = [settled(begin, OLD) for _ in range(HERD)]

    pushes = [talk.offer(NEW) for talk in herd]

    assert pushes == [pushes[0]] * HERD
    assert {talk.machine.snapshot for talk in herd} == {NEW}
