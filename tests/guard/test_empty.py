"""No empty list of listeners or clusters after one that was not: by table, and whatever happens."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guard.test_guards import KEEPING, OPTIONS, Guards
from tests.protocol.talk import TALKS
from tests.runtime.inputs import LOOPBACK, catalog
from xds_server.guard import emptied, refilled
from xds_server.model.catalog import Catalog
from xds_server.model.policy import DEFAULT_LISTENER, LastEndpoint, ServicePolicy
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.runtime.emptying import Emptying
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translator

CDS, LDS = TypeUrl.CLUSTER, TypeUrl.LISTENER
NOTHING = Catalog.of("dc1", [])
BOTH = frozenset({CDS, LDS})


def snapshot(services, policy=LOOPBACK, previous=EMPTY):
    made = Translator(Group()).translate(services, policy, Secrets())
    return build(made.drafts, made.problems, previous, made.derived)


FULL = snapshot(catalog(user=8001))
NO_CLUSTER = snapshot(NOTHING)
NO_LISTENER = snapshot(catalog(user=8001), replace(LOOPBACK, listeners=()))


@pytest.mark.parametrize(
    ("previous", "following", "group", "confirmed", "held"),
    [
        (EMPTY, EMPTY, Group(), (), ()),
        (EMPTY, FULL, Group(), (), ()),
        (FULL, FULL, Group(), (), ()),
        (FULL, EMPTY, Group(), (), (CDS, LDS)),
        (FULL, NO_CLUSTER, Group(), (), (CDS,)),
        (FULL, NO_LISTENER, Group(), (), (LDS,)),
        (FULL, EMPTY, Group(), BOTH, ()),
        (FULL, EMPTY, Group(), {LDS}, (CDS,)),
        (FULL, EMPTY, Group(gateway="edge"), (), ()),
        (FULL, EMPTY, Group(client=Client.GRPC), (), ()),
        (FULL, EMPTY, Group(admin_port=9901, on_demand=True), (), (CDS, LDS)),
    ],
)
def test_each_row_of_the_table(previous, following, group, confirmed, held):
    assert emptied(previous.sets, following.sets, group, frozenset(confirmed)) == held


def test_what_stays_has_all_that_it_leads_to():
    sets = refilled(FULL.sets, EMPTY.sets, (LDS,))
    assert sets[LDS].by_name == FULL.sets[LDS].by_name
    assert sets[TypeUrl.ROUTES].by_name == FULL.sets[TypeUrl.ROUTES].by_name
    assert sets[CDS].by_name == FULL.sets[CDS].by_name
    assert sets[TypeUrl.ENDPOINTS].by_name == FULL.sets[TypeUrl.ENDPOINTS].by_name


def test_what_is_newer_goes_on():
    other = snapshot(catalog(user=8001, order=8002), replace(LOOPBACK, listeners=()))
    sets = refilled(FULL.sets, other.sets, (LDS,))
    assert sets[LDS].by_name == FULL.sets[LDS].by_name
    assert list(sets[CDS].by_name) == ["order", "user"]


class Line:
    """From the source to what two clients hold, with every guard, and no operator who confirms anything."""

    def __init__(self, options):
        self.guards = Guards(options)
        self.translator = Translator(Group())
        self.emptying = Emptying(Group())
        self.served = EMPTY
        self.listeners = (DEFAULT_LISTENER,)
        self.held = {variant: {CDS: set(), LDS: set()} for variant in TALKS}
        self.talks = {}

    def publish(self):
        policy = replace(self.guards.policy, listeners=self.listeners, endpoints=LOOPBACK.endpoints)
        made = self.translator.translate(self.guards.decision.catalog, policy, Secrets())
        following = build(made.drafts, made.problems, self.served, made.derived)
        self.served = self.emptying.guard(following, self.served)
        for variant, talk in TALKS.items():
            if variant not in self.talks:
                self.talks[variant] = talk(self.served)
                for type_url in (CDS, LDS):
                    self.take(variant, self.talks[variant].ask(type_url))
            self.take(variant, self.talks[variant].offer(self.served))

    def take(self, variant, responses):
        waiting = list(responses)
        while waiting:
            one = waiting.pop(0)
            if one.type not in (CDS, LDS):
                continue
            held = self.held[variant][one.type]
            before = set(held)
            if variant == "sotw":
                held.clear()
            held.update(one.resources)
            held.difference_update(one.removed)
            assert held or not before, f"{variant}: {one}"
            waiting += self.talks[variant].ack(one.type)


_services = st.dictionaries(st.sampled_from(["user", "order", "cart", "pay"]), st.just(8001), max_size=4)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("catalog"), _services),
        st.tuples(st.just("clock"), st.floats(0, 1000)),
        st.tuples(st.just("live"), st.booleans()),
        st.tuples(st.just("listeners"), st.sampled_from([(), (DEFAULT_LISTENER,)])),
        st.tuples(st.just("last_endpoint"), st.sampled_from(LastEndpoint)),
        st.tuples(st.just("accept"), st.sampled_from(["fleet-shrink", "last-endpoint/user"])),
    ),
    max_size=12,
)


@given(steps=_steps, outlive=st.booleans())
@settings(deadline=None, max_examples=150)
def test_nothing_that_happens_leaves_a_client_without_listeners_or_clusters(steps, outlive):
    line = Line(KEEPING if outlive else OPTIONS)
    newest = catalog(user=8001)
    line.guards.weigh(newest)
    line.publish()
    for what, value in steps:
        after, accept = 0.0, ()
        match what:
            case "catalog":
                newest = catalog(**value)
            case "clock":
                after = value
            case "live":
                line.guards.live = value
            case "listeners":
                line.listeners = value
            case "last_endpoint":
                line.guards.policy = replace(line.guards.policy, defaults=ServicePolicy(last_endpoint=value))
            case "accept":
                accept = (value,)
        line.guards.weigh(newest, after=after, accept=accept)
        line.publish()
    for held in line.held.values():
        assert all(held.values())
