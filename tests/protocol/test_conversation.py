"""Any conversation between two servers and two Envoys: changes, rejections, delays, breaks, moves.

Found by a random search (Hypothesis), which shows the shortest conversation that goes wrong.
"""

import sys

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.protocol.fake_envoy import BAD
from tests.protocol.model_client import Client
from tests.protocol.replica import TYPES, Catalog, Replica
from tests.protocol.resources import CDS, LDS
from xds_server.protocol import delta_push

ALL_NAMES = "abcd"
NAMES = st.sampled_from(ALL_NAMES[:-1])
LISTENERS = st.sampled_from("xy")
WORDS = st.sampled_from(["1", "2", BAD])
RARELY = st.sampled_from([False, False, False, True])
SOMEBODY = st.integers(0, 1)
SOMEWHERE = st.integers(0, 1)
ROUNDS = 200


class Conversation(RuleBasedStateMachine):
    """A catalog, two replicas that read it, and two clients that each talk to one of them."""

    variants = ("delta", "delta")
    aggregated = True
    rejections = True
    words = "cannot use: {}"

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.replicas = (Replica(), Replica())
        self.clients: list[Client] = []
        self.read()
        self.clients = [
            Client(
                variant,
                self.replicas[0],
                f"model-{number}",
                aggregated=self.aggregated,
                words=self.words,
            )
            for number, variant in enumerate(self.variants)
        ]

    # --- what changes ------------------------------------------------------------------------------------

    @initialize(names=st.sets(NAMES, min_size=1), ways=st.sets(NAMES, min_size=1))
    def start(self, names, ways):
        for name in sorted(names):
            self.catalog.put_cluster(name, "1")
        self.catalog.put_listener("x", "1", "", ways)
        self.read()
        self.come_to_rest()

    @rule(name=NAMES, word=WORDS)
    def put_cluster(self, name, word):
        self.catalog.put_cluster(name, self.said(word))
        self.read()

    @rule(name=NAMES, word=st.sampled_from(["", "1", "2", BAD]))
    def move_endpoints(self, name, word):
        if name in self.catalog.clusters:
            self.catalog.assignments[name] = self.said(word)
            self.read()

    @rule(name=NAMES)
    def remove_cluster(self, name):
        self.catalog.remove_cluster(name)
        self.read()

    @rule(name=LISTENERS, word=WORDS, mark=st.sampled_from(["", "2", BAD]), ways=st.sets(NAMES))
    def put_listener(self, name, word, mark, ways):
        self.catalog.put_listener(name, self.said(word), self.said(mark), ways)
        self.read()

    @rule(name=LISTENERS)
    def remove_listener(self, name):
        self.catalog.remove_listener(name)
        self.read()

    @rule(place=st.integers(0, 2))
    def blue_green(self, place):
        """In one step all that led to one cluster leads to one that is new, and the first is gone."""
        here = sorted(self.catalog.clusters)
        free = sorted(set(ALL_NAMES) - set(here))
        if here and free:
            self.catalog.put_cluster(free[0], "1")
            self.catalog.remove_cluster(here[place % len(here)], frozenset(free[:1]))
            self.read()

    def said(self, word):
        return "2" if word == BAD and not self.rejections else word

    def read(self):
        for replica in self.replicas:
            replica.read(self.catalog)
        self.wake()

    @rule(behind=st.booleans())
    def lag(self, behind):
        """One server knows an older catalog for a while."""
        self.replicas[1].lags = behind
        self.read()

    # --- who hears of it ---------------------------------------------------------------------------------

    def wake(self):
        for client in self.clients:
            if not client.asleep:
                client.wake()

    @rule(who=SOMEBODY)
    def fall_asleep(self, who):
        """A slow stream: of several snapshots it will see the last."""
        self.clients[who].asleep = True

    @rule(who=SOMEBODY, type_url=st.sampled_from(TYPES))
    def deliver(self, who, type_url):
        self.clients[who].deliver(type_url)

    @rule(who=SOMEBODY, type_url=st.sampled_from(TYPES))
    def speak(self, who, type_url):
        if self.clients[who].speak(type_url):
            self.wake()

    @rule(who=SOMEBODY)
    def exchange(self, who):
        """All that is on its way arrives, and is answered."""
        client = self.clients[who]
        client.asleep = False
        self.wake()
        for type_url in TYPES:
            while client.streams[type_url].wire:
                client.deliver(type_url)
        for type_url in TYPES:
            self.speak(who, type_url)

    @rule(who=SOMEBODY, where=SOMEWHERE, types=st.sets(st.sampled_from(TYPES), min_size=1), anew=RARELY)
    def break_streams(self, who, where, types, anew):
        """The streams of these types end, and begin anew: here or elsewhere, or as another Envoy."""
        if anew:
            self.clients[who].restart(self.replicas[where])
        else:
            self.clients[who].connect(self.replicas[where], sorted(types))

    # --- the end -----------------------------------------------------------------------------------------

    @rule()
    def come_to_rest(self):
        """When nothing changes any more, all fall silent, and each Envoy has what it should."""
        self.silence()
        for client in self.clients:
            client.check_rest()
            client.check_converged()
        for replica in self.replicas:
            replica.check_newcomer()

    def silence(self):
        for client in self.clients:
            client.asleep = False
        for _ in range(ROUNDS):
            self.wake()
            if not any(client.busy() for client in self.clients):
                return
            for who in range(len(self.clients)):
                self.exchange(who)
        raise AssertionError("they never come to rest")

    def teardown(self):
        if sys.exception() is not None:
            # What went wrong first is what is to be told.
            return
        self.lag(behind=False)
        self.come_to_rest()
        if not self.rejections:
            one, other = self.clients
            assert one.envoy.held == other.envoy.held


class SotwConversation(Conversation):
    variants = ("sotw", "sotw")


class DeltaConversation(Conversation):
    pass


class SotwSilent(SotwConversation):
    words = "no good"


class DeltaSilent(DeltaConversation):
    words = "no good"


class MixedConversation(Conversation):
    variants = ("sotw", "delta")
    rejections = False


class SotwPerType(Conversation):
    variants = ("sotw", "sotw")
    aggregated = False


class DeltaPerType(Conversation):
    aggregated = False


QUICK = 25


def search(conversation, examples):
    """Make conversations up: always the same few in the default suite, others each time in a long search."""
    run_state_machine_as_test(
        conversation,
        settings=settings(
            max_examples=examples,
            derandomize=examples == QUICK,
            stateful_step_count=40,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


@pytest.mark.shows("P-032")
@pytest.mark.parametrize("kind", [SotwConversation, DeltaConversation, SotwSilent, DeltaSilent])
def test_a_listener_comes_in_the_company_of_one_that_is_bad_and_has_to_stay(kind):
    """The server has forgotten the listener that `x` was before it went; the Envoys have it still."""
    talk = kind()
    talk.start(names={"a"}, ways={"a"})
    talk.blue_green(place=0)
    talk.remove_listener(name="x")
    talk.put_listener(name="x", word=BAD, mark="", ways=set())
    talk.put_listener(name="y", word="1", mark="", ways=set())
    talk.teardown()
    for client in talk.clients:
        assert client.envoy.held[LDS] == {"x": "1", "y": "1"}


@pytest.mark.shows("P-032", "P-094")
@pytest.mark.parametrize("kind", [SotwConversation, DeltaConversation, SotwSilent, DeltaSilent])
def test_what_comes_beside_a_bad_one_that_is_on_its_way_out_is_not_to_blame(kind):
    """In state of the world the list holds the bad cluster until no route leads there."""
    talk = kind()
    talk.start(names={"a"}, ways={"a"})
    talk.put_cluster(name="a", word=BAD)
    talk.blue_green(place=0)
    talk.teardown()
    for client in talk.clients:
        assert client.envoy.held[CDS] == {"b": "1"}


@pytest.mark.shows("P-029", "P-032")
@pytest.mark.parametrize("kind", [SotwConversation, DeltaConversation, SotwSilent, DeltaSilent])
def test_what_a_client_brought_stays_when_its_next_version_is_bad(kind):
    """In state of the world it does not say which version it has."""
    talk = kind()
    talk.start(names={"a"}, ways={"a"})
    talk.put_listener(name="x", word="1", mark="", ways={"a", "b"})
    talk.put_cluster(name="a", word=BAD)
    talk.break_streams(who=0, where=0, types=set(TYPES), anew=False)
    talk.teardown()
    assert talk.clients[0].envoy.held[CDS] == {"a": "1", "b": "1"}


EXAMPLES = [
    pytest.param(QUICK, id="quick"),
    pytest.param(1000, id="thorough", marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
]


@pytest.mark.shows("P-032", "P-089", "P-094", "P-095", "T-LM-06", "T-RC-11", "T-RC-12")
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize(
    "kind", [SotwConversation, DeltaConversation, MixedConversation, SotwSilent, DeltaSilent]
)
def test_any_conversation_ends_in_agreement(kind, examples):
    search(kind, examples)


@pytest.mark.shows("P-002", "T-LM-06")
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("kind", [SotwPerType, DeltaPerType])
def test_any_conversation_on_streams_of_one_type_each_ends_in_agreement(kind, examples):
    search(kind, examples)


@pytest.mark.shows("P-085", "T-DL-27", "T-LM-06")
@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_conversation_in_split_responses_ends_in_agreement(monkeypatch, examples):
    """Each resource goes alone, as if it were too large to go with another."""
    monkeypatch.setattr(delta_push, "MAX_RESPONSE", 1)
    search(DeltaConversation, examples)
