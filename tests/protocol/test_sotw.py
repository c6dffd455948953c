"""State of the world, by script."""

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from tests.protocol.resources import (
    CDS,
    EDS,
    LDS,
    RDS,
    SDS,
    cluster,
    endpoints,
    listener,
    routes,
    secret,
    service,
    snapshot,
    web,
)
from tests.protocol.talk import TALKS, SotwTalk, sent
from tests.rig.drafts import tables
from xds_server.model.problem import Code
from xds_server.protocol import ProtocolError
from xds_server.snapshot import EMPTY, build

ABC = snapshot(service("a"), service("b"), service("c"))
ABCD = snapshot(service("a"), service("b"), service("c"), service("d"), after=ABC)
FULL = [
    pytest.param(CDS, cluster, id="CDS"),
    # Of a listener only what the protocol sees of it.
    pytest.param(LDS, lambda name, word="1": (listener(name, word), routes(name)), id="LDS"),
]
PARTIAL = [
    pytest.param(EDS, endpoints, id="EDS"),
    pytest.param(SDS, secret, id="SDS"),
]


def after(snap, *drafts):
    names = [one.name for one in drafts if getattr(one, "type", None) is CDS]
    return snapshot(*drafts, *(endpoints(name) for name in names), after=snap)


@pytest.mark.parametrize(("type_url", "make"), FULL)
@pytest.mark.shows("P-060", "T-SW-01")
def test_a_wildcard_is_answered_by_one_response_with_everything(type_url, make):
    talk = SotwTalk(after(EMPTY, make("a"), make("b"), make("c")))

    assert talk.ask(type_url) == [sent(type_url, a="1", b="1", c="1")]


@pytest.mark.parametrize(("type_url", "make"), FULL)
@pytest.mark.shows("P-020", "P-060", "T-SW-02")
def test_a_change_of_one_sends_all(type_url, make):
    old = after(EMPTY, make("a"), make("b"))
    talk = SotwTalk(old)
    (first,) = talk.ask(type_url)
    talk.ack(type_url)

    (second,) = talk.offer(after(old, make("a", "2"), make("b")))

    assert second == sent(type_url, a="2", b="1")
    assert first.version != second.version


@pytest.mark.parametrize(("type_url", "make"), FULL)
@pytest.mark.shows("T-SW-03")
def test_an_addition_sends_all(type_url, make):
    old = after(EMPTY, make("a"))
    talk = SotwTalk(old)
    talk.ask(type_url)
    talk.ack(type_url)

    assert talk.offer(after(old, make("a"), make("b"))) == [sent(type_url, a="1", b="1")]


@pytest.mark.parametrize("type_url", [CDS, EDS])
@pytest.mark.shows("P-064", "T-SW-04")
def test_only_what_is_named_is_sent(type_url):
    assert SotwTalk(ABCD).ask(type_url, "b", "d") == [sent(type_url, b="1", d="1")]


@pytest.mark.shows("T-SW-05")
def test_a_change_within_named_clusters_sends_all_of_them():
    talk = SotwTalk(ABCD)
    talk.ask(CDS, "b", "d")
    talk.ack(CDS)
    changed = snapshot(service("a"), service("b", "2"), service("c"), service("d"), after=ABCD)

    assert talk.offer(changed) == [sent(CDS, b="2", d="1")]


@pytest.mark.parametrize(("type_url", "make"), PARTIAL)
@pytest.mark.shows("P-042", "P-062", "T-SW-06")
def test_a_change_within_named_endpoints_or_secrets_sends_what_changed(type_url, make):
    old = snapshot(make("b"), make("d"))
    talk = SotwTalk(old)
    talk.ask(type_url, "b", "d")
    talk.ack(type_url)

    assert talk.offer(snapshot(make("b", "2"), make("d"), after=old)) == [sent(type_url, b="2")]


@pytest.mark.shows("T-SW-06")
def test_a_change_of_routes_sends_what_changed():
    old = snapshot(service("a"), service("b"), web("x", "a"), web("y", "a"))
    talk = SotwTalk(old)
    talk.ask(RDS, "x", "y")
    talk.ack(RDS)

    changed = snapshot(service("a"), service("b"), web("x", "b"), web("y", "a"), after=old)
    assert talk.offer(changed) == [sent(RDS, x="b")]


@pytest.mark.parametrize("type_url", [CDS, EDS])
@pytest.mark.shows("T-SW-07")
def test_a_change_of_what_is_not_named_is_not_sent(type_url):
    talk = SotwTalk(ABC)
    talk.ask(type_url, "b")
    talk.ack(type_url)

    assert talk.offer(snapshot(cluster("a", "2"), endpoints("a", "2"), service("b"), after=ABC)) == []


@pytest.mark.shows("P-053", "T-SW-08")
def test_a_name_that_is_not_there_is_sent_when_it_comes():
    """Clusters together, secrets alone."""
    old = snapshot(service("a"), secret("a"))
    talk = SotwTalk(old)
    assert talk.ask(CDS, "a", "z") == [sent(CDS, a="1")]
    assert talk.ask(SDS, "a", "z") == [sent(SDS, a="1")]
    talk.ack(CDS)
    talk.ack(SDS)

    created = snapshot(service("a"), service("z"), secret("a"), secret("z"), after=old)
    assert talk.offer(created) == [sent(SDS, z="1"), sent(CDS, a="1", z="1")]


@pytest.mark.parametrize(
    ("type_url", "expected"),
    [(CDS, sent(CDS, a="1", b="1")), (EDS, sent(EDS, b="1")), (SDS, sent(SDS, b="1"))],
)
@pytest.mark.shows("P-041", "T-SW-09")
def test_a_name_added_at_the_same_version_is_sent(type_url, expected):
    talk = SotwTalk(snapshot(service("a"), service("b"), secret("a"), secret("b")))
    (first,) = talk.ask(type_url, "a")
    talk.ack(type_url)

    assert talk.ask(type_url, "a", "b", version=first.version) == [expected]


@pytest.mark.shows("T-SW-10")
def test_an_unknown_name_added_is_silence_and_remembered():
    old = snapshot(secret("a"))
    talk = SotwTalk(old)
    talk.ask(SDS, "a")

    assert talk.ask(SDS, "a", "z") == []
    assert talk.offer(snapshot(secret("a"), secret("z"), after=old)) == [sent(SDS, z="1")]


@pytest.mark.parametrize("type_url", [CDS, EDS])
@pytest.mark.shows("P-040", "T-SW-11")
def test_names_in_another_order_are_the_same_names(type_url):
    talk = SotwTalk(ABC)
    talk.ask(type_url, "a", "b")

    assert talk.ask(type_url, "b", "a") == []


@pytest.mark.parametrize("type_url", [CDS, EDS])
@pytest.mark.shows("P-043", "T-SW-12")
def test_a_name_left_out_is_not_sent_any_more(type_url):
    old = snapshot(service("a"), service("b"))
    talk = SotwTalk(old)
    talk.ask(type_url, "a", "b")
    assert talk.ask(type_url, "a") == []

    other = snapshot(service("a"), cluster("b", "2"), endpoints("b", "2"), after=old)
    assert talk.offer(other) == []
    own = snapshot(
        cluster("a", "2"), endpoints("a", "2"), cluster("b", "2"), endpoints("b", "2"), after=other
    )
    assert talk.offer(own) == [sent(type_url, a="2")]


@pytest.mark.parametrize("nothing", [(), ("",)])
@pytest.mark.parametrize("type_url", [CDS, EDS, SDS])
@pytest.mark.shows("P-044", "P-045", "T-SW-13", "T-SW-14")
def test_naming_nothing_ends_a_subscription_and_it_may_come_again(type_url, nothing):
    old = snapshot(service("a"), secret("a"))
    talk = SotwTalk(old)
    first = talk.ask(type_url, "a")
    assert talk.ask(type_url, *nothing) == []
    new = snapshot(cluster("a", "2"), endpoints("a", "2"), secret("a", "2"), after=old)
    assert talk.offer(new) == []
    assert talk.offer(snapshot(service("a"), secret("a"), after=new)) == []

    assert talk.ask(type_url, "a") == first


@pytest.mark.parametrize(("type_url", "make"), FULL)
@pytest.mark.shows("P-061", "T-CA-08", "T-SW-15")
def test_the_last_one_leaves_an_empty_response(type_url, make):
    old = after(EMPTY, make("a"))
    talk = SotwTalk(old)
    talk.ask(type_url)
    talk.ack(type_url)

    assert talk.offer(snapshot(after=old)) == [sent(type_url)]


@pytest.mark.shows("P-062", "T-CA-08", "T-SW-16")
def test_endpoints_leave_with_their_cluster_and_without_a_word():
    talk = SotwTalk(ABC)
    talk.ask(CDS)
    talk.ask(EDS, "a", "b", "c")
    talk.ack(CDS)
    talk.ack(EDS)

    assert talk.offer(snapshot(service("a"), service("b"), after=ABC)) == [sent(CDS, a="1", b="1")]


@pytest.mark.shows("P-065", "P-066")
def test_endpoints_that_are_asked_for_are_answered_even_if_there_are_none():
    """Silence would keep the cluster in warming for 15 s."""
    assert SotwTalk(snapshot(service("a"))).ask(EDS, "a", "z") == [sent(EDS, a="1", z="")]


@pytest.mark.shows("P-065", "T-OR-18", "T-SW-16")
def test_a_cluster_that_loses_its_last_instance_gets_an_empty_assignment():
    """And stays as it is."""
    old = snapshot(service("a"))
    talk = SotwTalk(old)
    talk.ask(CDS)
    talk.ask(EDS, "a")
    talk.ack(CDS)
    talk.ack(EDS)

    assert talk.offer(snapshot(cluster("a"), endpoints("a", ""), after=old)) == [sent(EDS, a="")]


@pytest.mark.parametrize("type_url", [CDS, LDS, EDS, SDS])
@pytest.mark.shows("P-027", "P-037", "T-SW-17")
def test_an_ack_is_not_answered(type_url):
    talk = SotwTalk(snapshot(service("a"), secret("a"), web("a", "a")))
    talk.ask(type_url, "a")

    assert [talk.ack(type_url), talk.ack(type_url), talk.outbox()] == [[], [], []]


@pytest.mark.parametrize("nonce", ["1", "xyz"])
@pytest.mark.shows("P-025", "T-SW-18")
def test_an_old_nonce_changes_nothing(nonce):
    talk = SotwTalk(ABC)
    talk.ask(EDS, "a")
    talk.ask(EDS, "a", "b")
    talk.ack(EDS)

    assert talk.ask(EDS, "a", "b", "c", nonce=nonce) == []
    talk.offer(snapshot(service("a"), service("b"), cluster("c"), endpoints("c", "2"), after=ABC))
    assert talk.machine.types[EDS].subscription.names == {"a", "b"}


@pytest.mark.shows("P-026", "T-SW-19")
def test_a_name_sent_with_an_old_nonce_is_answered_once_it_comes_again():
    talk = SotwTalk(ABC)
    (first,) = talk.ask(EDS, "a")
    talk.ask(EDS, "a", "b")

    assert talk.ask(EDS, "a", "b", "c", nonce=first.nonce) == []
    assert talk.ask(EDS, "a", "b", "c") == [sent(EDS, c="1")]
    assert talk.ask(EDS, "a", "b", "c") == []


@pytest.mark.shows("P-036", "T-SW-20")
def test_of_requests_that_wait_only_the_last_counts():
    talk = SotwTalk(snapshot(service("a"), service("b"), secret("a")))
    for names in (["a"], ["a", "b"], ["b"]):
        for type_url in (EDS, SDS):
            talk.machine.receive(request_for(type_url, names), 0.0)

    assert talk.outbox() == [sent(EDS, b="1")]


def request_for(type_url, names):
    return DiscoveryRequest(type_url=type_url, resource_names=names)


@pytest.mark.shows("P-036", "T-SW-21")
def test_what_is_not_wanted_any_more_when_its_turn_comes_is_not_sent():
    talk = SotwTalk(ABC)
    talk.ask(EDS, "a", "b")
    changed = snapshot(*(d for n in "abc" for d in (cluster(n), endpoints(n, "2"))), after=ABC)
    assert talk.offer(changed) == []

    assert talk.ask(EDS, "a") == [sent(EDS, a="2")]


@pytest.mark.parametrize("version", ["", "ü 漢", "x" * 1024, "1"])
@pytest.mark.shows("P-020", "T-SW-22")
def test_a_version_is_only_compared(version):
    assert SotwTalk(ABC).ask(CDS, version=version) == [sent(CDS, a="1", b="1", c="1")]


@pytest.mark.shows("P-021", "P-022", "T-SW-23")
def test_equal_content_is_the_same_snapshot_and_nothing_is_sent():
    talk = SotwTalk(ABC)
    talk.ask(CDS)
    talk.ack(CDS)
    again = snapshot(service("c"), service("b"), service("a"), after=ABC)

    assert again is ABC
    assert talk.offer(snapshot(service("a"), service("b"), service("c"))) == []


@pytest.mark.shows("P-004", "T-SW-24")
def test_each_type_has_its_version():
    new = snapshot(cluster("a"), endpoints("a", "2"), service("b"), service("c"), after=ABC)
    changed = [one for one in (CDS, EDS, LDS, RDS, SDS) if new.sets[one].version != ABC.sets[one].version]

    assert changed == [EDS]


@pytest.mark.shows("P-004", "T-SW-25")
def test_the_nonce_of_another_type_acknowledges_nothing():
    talk = SotwTalk(ABC)
    talk.ask(CDS)
    (other,) = talk.ask(EDS, "a")

    assert talk.ask(CDS, nonce=other.nonce) == []
    assert talk.machine.types[CDS].ledger.outstanding


@pytest.mark.parametrize("type_url", [CDS, EDS])
@pytest.mark.shows("P-046", "T-SW-26")
def test_a_star_is_everything_of_any_type(type_url):
    talk = SotwTalk(ABC)
    assert talk.ask(type_url, "*") == [sent(type_url, a="1", b="1", c="1")]
    talk.ack(type_url)
    new = snapshot(cluster("a", "2"), endpoints("a", "2"), service("b"), service("c"), after=ABC)
    whole = {"a": "2"} if type_url is EDS else {"a": "2", "b": "1", "c": "1"}
    assert talk.offer(new) == [sent(type_url, **whole)]


@pytest.mark.shows("P-063", "T-SW-27")
def test_of_two_drafts_of_one_name_one_is_served():
    talk = SotwTalk(build(tables([secret("a"), secret("a", "2")]), (), EMPTY))

    assert talk.ask(SDS, "a") == [sent(SDS, a="2")]


@pytest.mark.shows("P-047", "T-DL-15")
def test_nothing_named_of_endpoints_is_nothing():
    assert [SotwTalk(ABC).ask(type_url) for type_url in (EDS, RDS, SDS)] == [[], [], []]


@pytest.mark.shows("P-011")
def test_a_type_this_server_does_not_know_costs_nothing():
    talk = SotwTalk(ABC)
    assert talk._receive(request_for("type.googleapis.com/no.such.Type", ["x"])) == []

    assert talk.ask(CDS, "a") == [sent(CDS, a="1")]


@pytest.mark.shows("P-003", "T-ST-01")
def test_a_request_without_a_type_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="type_url"):
        SotwTalk(ABC)._receive(request_for("", []))


@pytest.mark.shows("P-014")
def test_the_server_names_itself_once_a_stream():
    machine = SotwTalk(ABC).machine
    machine.receive(request_for(CDS, []), 0.0)
    machine.receive(request_for(EDS, ["a"]), 0.0)
    messages = [DiscoveryResponse.FromString(one.payload) for one in machine.outbox(0.0)]

    assert [message.control_plane.identifier for message in messages] == ["test", ""]


@pytest.mark.shows("T-OR-15")
def test_what_does_not_close_is_left_out_and_said():
    broken = build(tables([listener("l"), routes("l", "nowhere")]), (), EMPTY)

    assert SotwTalk(broken).ask(LDS) == [sent(LDS)]
    assert [problem.code for problem in broken.problems] == [Code.REFERENCE_MISSING] * 2


@pytest.mark.parametrize("variant", TALKS)
@pytest.mark.shows("P-015", "P-016", "P-023")
def test_a_response_is_of_one_type_and_has_a_nonce(variant):
    """What talk.py holds of every response, once in the open."""
    talk = TALKS[variant](ABC)
    responses = [*talk.ask(CDS), *talk.ask(EDS, "a"), *talk.ack(CDS), *talk.ask(EDS, "b")]

    assert [one.type for one in responses] == [CDS, EDS, EDS]
    assert len({one.nonce for one in responses}) == 3
    assert all(one.nonce for one in responses)
