"""One Envoy of the model and its streams, each to a replica over a wire that delays."""

from collections.abc import Iterable

from tests.protocol.fake_envoy import BAD, CHILD, DeltaEnvoy, FakeEnvoy, SotwEnvoy
from tests.protocol.model_stream import Stream
from tests.protocol.replica import TYPES, Replica, contents
from tests.protocol.resources import CDS, EDS, LDS, RDS
from xds_server.model.types import TypeUrl
from xds_server.protocol import SotwMachine

ENVOYS: dict[str, type[FakeEnvoy]] = {"sotw": SotwEnvoy, "delta": DeltaEnvoy}


class Client:
    """An Envoy with one aggregated stream, or one for each type; while `asleep` it is offered nothing.

    `words` are what it says where it rejects.
    """

    def __init__(self, variant: str, replica: Replica, node: str, *, aggregated: bool, words: str) -> None:
        self.variant = variant
        self.node = node
        self.aggregated = aggregated
        self.words = words
        self.asleep = False
        self.streams: dict[TypeUrl, Stream] = {}
        self.restart(replica)

    def restart(self, replica: Replica) -> None:
        """Begin as another Envoy, with nothing."""
        self.envoy = ENVOYS[self.variant](aggregated=self.aggregated, words=self.words)
        self.connect(replica, TYPES)

    def connect(self, replica: Replica, types: Iterable[TypeUrl]) -> None:
        """Begin streams for these types; an aggregated one is for all."""
        if self.aggregated:
            types = TYPES
        for one in {self.streams[type_url] for type_url in types if type_url in self.streams}:
            one.view.close()
        if self.aggregated:
            self.streams = dict.fromkeys(TYPES, Stream(self.variant, replica, None, self.node))
        else:
            self.streams |= {one: Stream(self.variant, replica, one, self.node) for one in types}
        self.envoy.connect(types)

    @property
    def open(self) -> list[Stream]:
        return list(dict.fromkeys(self.streams.values()))

    # --- what moves --------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Offer what is served now."""
        for stream in self.open:
            stream.offer()

    def deliver(self, type_url: TypeUrl) -> None:
        """Let the oldest response on the wire arrive."""
        stream = self.streams[type_url]
        if not stream.wire:
            return
        sent = stream.wire.popleft()
        if sent.type is RDS and CDS in self.envoy.fresh:
            stream.behind |= {name for name, word in sent.resources.items() if not word.startswith(BAD)}
        self.envoy.take(sent, full=stream.full(sent.type))
        self.check_routes()

    def speak(self, type_url: TypeUrl) -> bool:
        """Say what there is to say of a type; tell whether others are served something else for it."""
        if not self.envoy.wants(type_url):
            return False
        return self.streams[type_url].hear(type_url, self.envoy.speak(type_url))

    def busy(self) -> bool:
        """Tell whether there is anything to say or to hear."""
        return any(stream.wire for stream in self.open) or any(map(self.envoy.wants, TYPES))

    # --- what must always hold ---------------------------------------------------------------------------

    def check_routes(self) -> None:
        """Nothing leads to a cluster that the Envoy lacks, unless it rejected it.

        What holds is what came on this stream: before it has sent clusters there, the server knows nothing,
        and routes that were asked for before clusters may lead to one that was gone when those were.
        What an Envoy rejects without a name counts as not there until it is acknowledged (P-032): the lists
        by which the server finds what is at fault leave it out, though this Envoy uses what is good of it. A
        real one applies nothing of a response that it rejects without a name. Streams for one type each are
        not in any order.
        """
        envoy, behind = self.envoy, self.streams[RDS].behind
        if not self.aggregated or CDS not in envoy.fresh:
            return
        for name in envoy.fresh.get(RDS, set()) & envoy.held[RDS].keys():
            ways = {one for one in envoy.held[RDS][name].rpartition(":")[2].split("+") if one}
            lacking = ways - envoy.held[CDS].keys() - envoy.rejected[CDS] - envoy.untold[CDS]
            assert not (lacking if name in behind else lacking & envoy.fresh[CDS])

    # --- what must hold at rest --------------------------------------------------------------------------

    def check_rest(self) -> None:
        """Nobody waits for anything."""
        assert not self.envoy.warming
        for stream in self.open:
            for type_url, state in stream.talk.machine.types.items():
                assert not state.ledger.outstanding
                assert not state.asked
                # What left may stay while it is not known which routes the Envoy has.
                assert not state.dirty or (type_url in {CDS, EDS} and self._rejects_routes()), state.dirty

    def check_converged(self) -> None:
        """The Envoy has what is served, but for what it rejects."""
        held = self.envoy.held
        for type_url in TYPES:
            should = {
                name: word
                for name, word in contents(self.streams[type_url].view, type_url).items()
                if type_url in CHILD or name in self.envoy.children(type_url)
            }
            good = {
                name: word
                for name, word in should.items()
                if not (word.startswith(BAD) or self._without(type_url, name))
            }
            assert good == {name: held[type_url].get(name) for name in good}
            # Children leave with their parents, as the Envoy sees to.
            extra = held[type_url].keys() - should.keys() if type_url in CHILD else set()
            # What came in bad company and is withheld now stays as it is, if it is there.
            extra = {name for name in extra if not self._without(type_url, name)}
            assert not extra or (type_url is CDS and self._keeps_clusters()), extra

    def _without(self, type_url: TypeUrl, name: str) -> bool:
        """Tell whether a client gets nothing in place of what it rejects."""
        machine = self.streams[type_url].talk.machine
        return machine._untaken(machine.types[type_url], name)

    def _keeps_clusters(self) -> bool:
        """Tell whether clusters that left may still be there.

        That is so while it is not known which routes the Envoy has, and, in state of the world, while it
        rejects the list that does not have them: they go with the next one it takes.
        """
        machine = self.streams[CDS].talk.machine
        rejects = isinstance(machine, SotwMachine) and machine.types[CDS].ledger.rejected
        return bool(rejects) or self._rejects_routes()

    def _rejects_routes(self) -> bool:
        types = self.streams[CDS].talk.machine.types
        return any(types[type_url].ledger.rejected for type_url in (LDS, RDS) if type_url in types)
