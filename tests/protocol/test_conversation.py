"""Any conversation between a machine and a fake Envoy, in both variants: changes, rejections, delays, breaks.

Found by a random search (Hypothesis), which shows the shortest conversation that goes wrong.
"""

from collections import deque

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.protocol.fake_envoy import BAD, CHILD, TYPES, DeltaEnvoy, SotwEnvoy
from tests.protocol.resources import CDS, EDS, LDS, RDS, cluster, endpoints, listener, routes, snapshot
from tests.protocol.talk import DeltaTalk, Sent, SotwTalk
from xds_server.snapshot import EMPTY

NAMES = st.sampled_from("abc")
LISTENERS = st.sampled_from("xy")
WORDS = st.sampled_from(["1", "2", BAD])
ROUNDS = 200


class Conversation(RuleBasedStateMachine):
    """A catalog that changes, a server, a wire that delays, and an Envoy."""

    talk_of: type
    envoy_of: type

    def __init__(self):
        super().__init__()
        self.clusters = {}
        self.assignments = {}
        self.listeners = {}
        self.snapshot = EMPTY
        self.wire: deque[Sent] = deque()
        self.envoy = self.envoy_of()
        self.begin()

    def begin(self):
        """A new stream, to a server that remembers nothing."""
        self.wire.clear()
        self.publish()
        self.talk = self.talk_of(self.snapshot)
        self.known = {type_url: {} for type_url in TYPES}
        """What was sent on this stream, and is still there."""
        self.asked = {type_url: set() for type_url in TYPES}
        """Names whose next sending is needed: asked for, or sent under their parent's changed content."""
        self.named = {type_url: set() for type_url in TYPES}
        """The names of the last SotW request that counted."""
        self.beginning = set(CHILD)

    # --- what changes ------------------------------------------------------------------------------------

    @initialize(names=st.sets(NAMES, min_size=1), way=NAMES)
    def start(self, names, way):
        self.clusters = dict.fromkeys(names, "1")
        self.assignments = dict.fromkeys(names, "1")
        self.listeners = {"x": ("1", "", tuple({way} & names))}
        self.begin()
        self.come_to_rest()

    @rule(name=NAMES, word=WORDS)
    def put_cluster(self, name, word):
        self.clusters[name] = word
        self.assignments.setdefault(name, "1")
        self.change()

    @rule(name=NAMES, word=st.sampled_from(["", "1", "2", BAD]))
    def move_endpoints(self, name, word):
        if name in self.clusters:
            self.assignments[name] = word
            self.change()

    @rule(name=NAMES)
    def remove_cluster(self, name):
        self.clusters.pop(name, None)
        self.listeners = {
            key: (word, mark, tuple(one for one in ways if one != name))
            for key, (word, mark, ways) in self.listeners.items()
        }
        self.change()

    @rule(name=LISTENERS, word=WORDS, mark=st.sampled_from(["", "2", BAD]), ways=st.sets(NAMES))
    def put_listener(self, name, word, mark, ways):
        self.listeners[name] = (word, mark, tuple(sorted(ways & self.clusters.keys())))
        self.change()

    @rule(name=LISTENERS)
    def remove_listener(self, name):
        self.listeners.pop(name, None)
        self.change()

    @rule(old=NAMES, new=NAMES)
    def blue_green(self, old, new):
        """In one step all that led to one cluster leads to another, and the first is gone."""
        if old == new or old not in self.clusters:
            return
        self.clusters = {name: word for name, word in self.clusters.items() if name != old} | {new: "1"}
        self.assignments.setdefault(new, "1")
        self.listeners = {
            key: (word, mark, tuple(sorted({new if one == old else one for one in ways})))
            for key, (word, mark, ways) in self.listeners.items()
        }
        self.change()

    def publish(self):
        self.snapshot = snapshot(
            [cluster(name, word) for name, word in self.clusters.items()],
            [endpoints(name, self.assignments[name]) for name in self.clusters],
            [listener(name, word) for name, (word, _, _) in self.listeners.items()],
            [routes(name, *ways, word=mark) for name, (_, mark, ways) in self.listeners.items()],
            after=self.snapshot,
        )

    def change(self):
        before = self.snapshot
        self.publish()
        if self.talk.variant == "sotw":
            self.forget_gone()
        self.send(self.talk.offer(self.snapshot))
        if before is self.snapshot:
            assert not self.talk.outbox()

    # --- the wire ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.wire)
    @rule()
    def deliver(self):
        sent = self.wire.popleft()
        self.envoy.take(sent, full=self.talk.variant == "sotw")
        self.check_routes()

    @rule(type_url=st.sampled_from(TYPES))
    def speak(self, type_url):
        if not self.envoy.wants(type_url):
            return
        request = self.envoy.speak(type_url)
        self.note_names(type_url, request)
        responses = self.talk._receive(request)
        assert (self.talk.nack is not None) <= request.HasField("error_detail")
        self.send(responses)

    def note_names(self, type_url, request):
        """Note which names a request asks for anew."""
        if self.talk.variant == "delta":
            self.asked[type_url].update(request.resource_names_subscribe)
        elif request.response_nonce == self.talk.latest.get(type_url, ""):
            names = set(request.resource_names)
            self.asked[type_url] = (self.asked[type_url] | (names - self.named[type_url])) & names
            self.named[type_url] = names

    @rule()
    def exchange(self):
        """All that is on its way arrives, and is answered."""
        while self.wire:
            self.deliver()
        for type_url in TYPES:
            self.speak(type_url)

    @rule()
    def come_to_rest(self):
        """When nothing changes any more, both fall silent, and the Envoy has what it should."""
        for _ in range(ROUNDS):
            if not self.wire and not any(self.envoy.wants(type_url) for type_url in TYPES):
                break
            self.exchange()
        else:
            raise AssertionError("the two never come to rest")
        self.check_rest()
        self.check_converged()

    @rule()
    def break_the_stream(self):
        self.envoy.connect()
        self.begin()

    def send(self, responses):
        for sent in responses:
            self.check_need(sent)
            self.wire.append(sent)

    # --- what must always hold ---------------------------------------------------------------------------

    def check_need(self, sent):
        """No response without need; and so nothing that was rejected is sent again unasked."""
        known, asked = self.known[sent.type], self.asked[sent.type]
        needed = {
            name for name, word in sent.resources.items() if known.get(name) != word or name in asked
        } | set(sent.removed)
        left = known.keys() - sent.resources.keys()
        if self.talk.variant == "sotw" and sent.type in CHILD:
            assert needed or left or sent.type in self.beginning, sent
        else:
            assert needed >= sent.resources.keys(), sent
            assert needed or sent.type in self.beginning, sent
        self.beginning.discard(sent.type)
        for name, word in sent.resources.items():
            if sent.type in CHILD and known.get(name) != word:
                self.asked[CHILD[sent.type]].add(name)
        if self.talk.variant == "sotw" and sent.type in CHILD:
            known.clear()
        known.update(sent.resources)
        for name in sent.removed:
            known.pop(name, None)
        asked -= {*sent.resources, *sent.removed}

    def forget_gone(self):
        """In SotW what is gone is forgotten without a word, and sent again when it is back."""
        for type_url in CHILD.values():
            for name in self.known[type_url].keys() - self.snapshot.sets[type_url].by_name.keys():
                del self.known[type_url][name]

    def check_routes(self):
        """Nothing leads to a cluster that the Envoy lacks, unless it rejected it.

        What holds is what came on this stream: before it has sent clusters there, the server knows nothing.
        """
        if CDS not in self.envoy.fresh:
            return
        for name in self.envoy.fresh.get(RDS, set()) & self.envoy.held[RDS].keys():
            ways = {one for one in self.envoy.held[RDS][name].rpartition(":")[2].split("+") if one}
            assert ways <= self.envoy.held[CDS].keys() | self.envoy.rejected[CDS]

    # --- the end -----------------------------------------------------------------------------------------

    def teardown(self):
        self.come_to_rest()

    def check_rest(self):
        assert not self.envoy.warming
        for type_url, state in self.talk.machine.types.items():
            assert not state.ledger.outstanding
            assert not state.asked
            # What left may stay while it is not known which routes the Envoy has.
            assert not state.dirty or (type_url in {CDS, EDS} and self.rejects_routes()), state.dirty

    def rejects_routes(self):
        known = self.talk.machine.types
        return any(known[type_url].ledger.rejected for type_url in (LDS, RDS) if type_url in known)

    def check_converged(self):
        for type_url in TYPES:
            should = {
                name: content
                for name, content in self.contents(type_url).items()
                if type_url in CHILD or name in self.envoy.held[CDS if type_url is EDS else LDS]
            }
            good = {name: content for name, content in should.items() if not content.startswith(BAD)}
            held = self.envoy.held[type_url]
            assert good == {name: held.get(name) for name in good}
            extra = held.keys() - should.keys()
            assert not extra or (type_url in {CDS, EDS} and self.rejects_routes()), extra

    def contents(self, type_url):
        if type_url is CDS:
            return self.clusters
        if type_url is EDS:
            return {name: self.assignments[name] for name in self.clusters}
        if type_url is LDS:
            return {name: word for name, (word, _, _) in self.listeners.items()}
        return {
            name: (f"{mark}:" if mark else "") + "+".join(ways)
            for name, (_, mark, ways) in self.listeners.items()
        }


class SotwConversation(Conversation):
    talk_of = SotwTalk
    envoy_of = SotwEnvoy


class DeltaConversation(Conversation):
    talk_of = DeltaTalk
    envoy_of = DeltaEnvoy


QUICK = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TestSotwConversation = SotwConversation.TestCase
TestSotwConversation.settings = QUICK
TestDeltaConversation = DeltaConversation.TestCase
TestDeltaConversation.settings = QUICK
