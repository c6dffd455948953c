"""What is on demand: virtual hosts under the names an Envoy asks by, and clusters beside a wildcard."""

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from tests.protocol.resources import (
    CDS,
    EDS,
    LDS,
    RDS,
    VHDS,
    cluster,
    endpoints,
    host,
    listener,
    routes,
    service,
    snapshot,
    web,
)
from tests.protocol.talk import DeltaTalk, sent
from xds_server.protocol import DeltaMachine
from xds_server.protocol.virtual_hosts import MAX_ABSENT, MAX_NAME
from xds_server.translate.packing import on_demand

SHOP = snapshot(
    service("user"),
    on_demand(cluster("order")),
    endpoints("order"),
    host("web/user", "user"),
    host("web/order", "order"),
)


class Asking:
    """A stream for virtual hosts; gives each answer as (own name, aliases, has a body) and the removals."""

    def __init__(self, snap=SHOP):
        self.machine = DeltaMachine(snap, "test")
        self.nonce = ""

    def __call__(self, *names, drop=(), has=None):
        request = DeltaDiscoveryRequest(
            type_url=VHDS,
            resource_names_subscribe=names,
            resource_names_unsubscribe=drop,
            response_nonce=self.nonce,
            initial_resource_versions=has or {},
        )
        self.machine.receive(request, 0.0)
        return self.read()

    def offer(self, snap):
        self.machine.offer(snap)
        return self.read()

    def read(self):
        responses = [DeltaDiscoveryResponse.FromString(one.payload) for one in self.machine.outbox(0.0)]
        if not responses:
            return None
        (response,) = responses
        self.nonce = response.nonce
        entries = [(one.name, list(one.aliases), one.HasField("resource")) for one in response.resources]
        return entries, list(response.removed_resources)


@pytest.mark.shows("P-047", "P-081", "T-DL-15")
def test_the_first_request_names_nothing_and_is_not_answered():
    assert Asking()() is None


@pytest.mark.shows("P-084")
def test_a_host_is_answered_under_the_name_it_was_asked_by():
    ask = Asking()

    assert ask("web/User:8080") == ([("web/user", ["web/User:8080"], True)], [])


@pytest.mark.shows("P-084")
def test_two_spellings_of_a_host_are_one_resource():
    assert Asking()("web/user", "web/user:80") == ([("web/user", ["web/user", "web/user:80"], True)], [])


@pytest.mark.shows("P-074", "P-084")
def test_a_host_that_is_not_there_is_answered_without_a_body_and_sent_when_it_comes():
    ask = Asking()
    assert ask("web/nope:80", "web/user") == (
        [("web/nope:80", ["web/nope:80"], False), ("web/user", ["web/user"], True)],
        [],
    )
    assert ask() is None

    more = snapshot(service("user"), host("web/user", "user"), host("web/nope", "user"), after=SHOP)
    assert ask.offer(more) == ([("web/nope", [], True)], [])


def test_a_host_that_leaves_is_removed():
    ask = Asking()
    ask("web/order")
    ask()

    assert ask.offer(snapshot(service("user"), host("web/user", "user"), after=SHOP)) == ([], ["web/order"])


@pytest.mark.shows("P-078")
def test_a_client_that_comes_again_with_a_star_is_sent_what_it_lacks_and_told_what_is_gone():
    ask = Asking()
    version = SHOP.resource(VHDS, "web/user").version
    first = ask(
        "*", "web/user:80", "web/gone", "web/nope", has={"web/user": version, "web/gone": "1", "web/nope": ""}
    )

    # Who waited for that spelling when the stream broke waits still.
    user = ("web/user", ["web/user:80"], True)
    assert first == ([("web/gone", ["web/gone"], False), ("web/nope", ["web/nope"], False), user], [])
    assert ask() == ([], ["web/gone"])


@pytest.mark.shows("P-074", "P-084")
def test_two_spellings_of_a_missing_host_are_two_answers():
    assert Asking()("web/no:1", "web/no:2") == (
        [("web/no:1", ["web/no:1"], False), ("web/no:2", ["web/no:2"], False)],
        [],
    )


@pytest.mark.shows("P-117")
@pytest.mark.parametrize("count", [1, 3])
def test_a_name_that_is_too_long_is_answered_by_none_and_forgotten(count):
    ask = Asking()
    names = [f"web/{'x' * MAX_NAME}{number}" for number in range(count)]
    entries, removed = ask(*names)

    assert (entries, removed) == ([(name, [name], False) for name in sorted(names)], [])
    assert ask.machine.types[VHDS].subscription.names == set()


@pytest.mark.shows("P-117")
def test_made_up_hosts_do_not_push_out_those_that_exist(monkeypatch):
    monkeypatch.setattr("xds_server.protocol.virtual_hosts.MAX_ABSENT", 2)
    ask = Asking()
    ask("web/x", "web/y")
    assert ask("web/z", "web/user") == ([("web/z", ["web/z"], False), ("web/user", ["web/user"], True)], [])

    assert ask.machine.types[VHDS].subscription.names == {"web/x", "web/y", "web/user"}
    assert MAX_ABSENT > 1000


# --- clusters -------------------------------------------------------------------------------------------


@pytest.mark.shows("P-084")
def test_a_wildcard_does_not_cover_what_is_on_demand():
    talk = DeltaTalk(SHOP)
    assert talk.ask(CDS) == [sent(CDS, user="1")]
    talk.ack(CDS)

    assert talk.ask(CDS, "order") == [sent(CDS, order="1")]
    talk.ack(CDS)
    changed = snapshot(service("user"), on_demand(cluster("order", "2")), endpoints("order"), after=SHOP)
    assert talk.offer(changed)[0] == sent(CDS, order="2")


@pytest.mark.shows("P-084")
def test_what_becomes_on_demand_leaves_those_that_did_not_name_it():
    talk = DeltaTalk(SHOP)
    talk.ask(CDS)
    talk.ack(CDS)

    later = snapshot(on_demand(cluster("user")), endpoints("user"), after=SHOP)
    assert talk.offer(later) == [sent(CDS, removed=("user",))]


@pytest.mark.shows("P-084", "T-RC-11")
def test_a_client_that_comes_again_names_what_it_holds():
    talk = DeltaTalk(SHOP)
    versions = {name: SHOP.resource(CDS, name).version for name in ("user", "order")}

    assert talk.ask(CDS, "*", "order", has=versions) == []


@pytest.mark.shows("P-074", "P-084")
def test_an_unknown_cluster_is_said_to_be_missing():
    assert DeltaTalk(SHOP).ask(CDS, "nope") == [sent(CDS, removed=("nope",))]


def test_endpoints_follow_a_cluster_on_demand():
    talk = DeltaTalk(SHOP)
    talk.ask(CDS, "order")
    assert talk.ask(EDS, "order") == [sent(EDS, order="1")]


# --- removal ---------------------------------------------------------------------------------------------


def test_virtual_hosts_stay_until_the_listener_that_served_by_them_has_changed():
    shop = snapshot(service("user"), web("web", "user"), host("web/user", "user"))
    talk = DeltaTalk(shop)
    for type_url, names in ((CDS, ()), (LDS, ()), (RDS, ("web",)), (VHDS, ("web/user",))):
        talk.ask(type_url, *names)
        talk.ack(type_url)
    without = snapshot(service("user"), (listener("web", "2"), routes("web", "user")), after=shop)

    assert [one.type for one in talk.offer(without)] == [LDS, RDS]
    assert talk.ack(LDS) == []
    assert talk.ack(RDS) == [sent(VHDS, removed=("web/user",))]


@pytest.mark.shows("P-094", "T-RC-05")
def test_what_went_while_a_client_was_away_goes_after_what_led_to_it():
    shop = snapshot(on_demand(cluster("user")), endpoints("user"), web("web"))
    after = snapshot((listener("web", "2"), routes("web")), after=shop)
    talk = DeltaTalk(after)
    assert talk.ask(CDS, "*", "user", has={"user": shop.resource(CDS, "user").version}) == [sent(CDS)]
    assert talk.ask(LDS, has={"web": shop.resource(LDS, "web").version}) == []
    assert talk.ack(CDS) == [sent(LDS, web="2")]

    assert talk.ack(LDS) == [sent(CDS, removed=("user",))]


def test_a_virtual_host_that_waits_for_its_cluster_is_not_forgotten_when_others_leave():
    shop = snapshot(service("user"), web("web"), host("web/user", "user"), host("web/old", "user"))
    talk = DeltaTalk(shop)
    for type_url, names in (
        (CDS, ()),
        (LDS, ()),
        (RDS, ("web",)),
        (VHDS, ("web/user", "web/old", "web/new")),
    ):
        talk.machine.receive(DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names), 0.0)
        talk.machine.outbox(0.0)
        (nonce,) = talk.machine.types[type_url].ledger.outstanding
        talk.ask(type_url, nonce=nonce)
    moved = snapshot(
        service("user"),
        service("new"),
        web("web"),
        host("web/user", "user"),
        host("web/new", "new"),
        after=shop,
    )

    assert talk.offer(moved) == [sent(CDS, new="1"), sent(VHDS, removed=("web/old",))]
    talk.ack(VHDS)
    assert talk.ack(CDS) == [sent(VHDS, **{"web/new": "new"})]
