"""Resources that expire: heartbeats in delta (P-100), none in SotW (P-101)."""

from dataclasses import replace

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from tests.protocol.resources import SDS, secret, snapshot
from tests.protocol.talk import DeltaTalk, sent


def short_lived(name, content="1", ttl=6.0):
    return replace(secret(name, content), ttl=ttl)


MIXED = snapshot(short_lived("a"), secret("b"))


@pytest.mark.shows("P-100", "T-CA-10")
def test_what_expires_says_so_and_is_renewed_without_its_body():
    talk = DeltaTalk(MIXED)
    assert talk.machine.heartbeat_interval is None
    talk.ask(SDS, "a", "b")
    talk.ack(SDS)
    assert talk.machine.heartbeat_interval == 2.0

    (beat,) = talk.machine.heartbeats(1.0)
    message = DeltaDiscoveryResponse.FromString(beat.payload)
    (renewed,) = message.resources
    assert (renewed.name, renewed.version) == ("a", MIXED.resource(SDS, "a").version)
    assert (renewed.ttl.seconds, renewed.HasField("resource")) == (6, False)
    # It is acknowledged like any response, and changes nothing.
    assert talk.ask(SDS, nonce=beat.nonce) == []
    assert talk.machine.types[SDS].quiet


@pytest.mark.shows("P-100")
def test_a_changed_time_to_live_is_sent():
    talk = DeltaTalk(MIXED)
    talk.ask(SDS, "a")
    talk.ack(SDS)

    assert talk.offer(snapshot(short_lived("a", ttl=9.0), secret("b"), after=MIXED)) == [sent(SDS, a="1")]


@pytest.mark.shows("P-100")
def test_what_was_rejected_is_not_renewed():
    talk = DeltaTalk(MIXED)
    talk.ask(SDS, "a")
    talk.reject(SDS)

    assert talk.machine.heartbeats(1.0) == []


@pytest.mark.shows("P-100")
def test_a_client_that_comes_again_is_sent_what_expires_at_once():
    versions = {name: MIXED.resource(SDS, name).version for name in ("a", "b")}

    assert DeltaTalk(MIXED).ask(SDS, "a", "b", has=versions) == [sent(SDS, a="1")]
