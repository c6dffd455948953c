"""A pure Envoy: takes responses apart, keeps what is good, and says what Envoy would say next.

What it shares with the real one: it applies the good part of a response it rejects; a cluster that is new
or changed waits for endpoints that come after it, and the ACK of clusters waits with it; it subscribes to the
endpoints of its clusters and the routes of its listeners, by the names that those give, and drops those of
what is gone. It does not ask again for the endpoints of a changed cluster. Content that begins with `bad` is
rejected.

With a stream for each type nothing waits: each cluster of the real one has a stream of its own then, and
asks on it as the cluster changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.rpc.status_pb2 import Status

from tests.protocol.resources import CDS, EDS, LDS, RDS, child
from tests.protocol.talk import Sent
from xds_server.model.types import TypeUrl

TYPES = (CDS, EDS, LDS, RDS)
CHILD = {CDS: EDS, LDS: RDS}
PARENT = {child: parent for parent, child in CHILD.items()}
BAD = "bad"


class Reply(NamedTuple):
    """What is to be said of a response: the names of what is rejected in it, and of all that it held."""

    nonce: str
    rejected: str
    names: set[str]


@dataclass
class Substream:
    """What is to be said of one type on the present stream."""

    started: bool = False
    changed: bool = False
    replies: list[Reply] = field(default_factory=list)
    nonce: str = ""
    back: set[str] = field(default_factory=set)
    """Names that were dropped and are wanted again, before that was said."""
    subscribe: set[str] = field(default_factory=set)
    unsubscribe: set[str] = field(default_factory=set)


class FakeEnvoy:
    """One Envoy; `connect` begins a stream, then `speak` and `take` in any order."""

    def __init__(self, *, aggregated: bool = True, words: str = "cannot use: {}") -> None:
        self.aggregated = aggregated
        self.words = words
        """Its error text, in which the names of what it rejects may have a place."""
        self.held: dict[TypeUrl, dict[str, str]] = {type_url: {} for type_url in TYPES}
        """The content of every good resource, by name."""
        self.versions: dict[TypeUrl, dict[str, str]] = {type_url: {} for type_url in TYPES}
        self.version: dict[TypeUrl, str] = {}
        self.rejected: dict[TypeUrl, set[str]] = {type_url: set() for type_url in TYPES}
        self.warming: set[str] = set()
        """The endpoints that clusters wait for."""
        self.untold: dict[TypeUrl, set[str]] = {type_url: set() for type_url in TYPES}
        """What came on the present stream to an Envoy that gives no names, until it acknowledges it."""
        self.fresh: dict[TypeUrl, set[str]] = {}
        """What came and was good on the present stream."""
        self.streams: dict[TypeUrl, Substream] = {}
        self.connect()

    def connect(self, types: Iterable[TypeUrl] = TYPES) -> None:
        """Begin a stream for these types; what was to be said on the one before is forgotten."""
        for type_url in types:
            names = self.children(type_url)
            changed = type_url in CHILD or bool(names)
            self.streams[type_url] = Substream(subscribe=names, changed=changed)
            self.fresh.pop(type_url, None)

    def children(self, kind: TypeUrl) -> set[str]:
        """Give the names of the endpoints of its clusters, or of the routes of its listeners."""
        parents = self.held[PARENT[kind]] if kind in PARENT else {}
        return {child(name, word) for name, word in parents.items()}

    def wants(self, type_url: TypeUrl) -> bool:
        """Tell whether there is something to say of a type now."""
        stream = self.streams[type_url]
        if type_url is CDS and self.warming and stream.started:
            return False
        return bool(stream.changed or stream.replies)

    def take(self, sent: Sent, *, full: bool) -> None:
        """Apply a response; with `full`, what it does not name of a type that has no parent is gone."""
        kind = sent.type
        fresh = self.fresh.setdefault(kind, set())
        bad = {name for name, content in sent.resources.items() if content.startswith(BAD)}
        gone = set(sent.removed)
        if full and kind in CHILD:
            gone |= self.held[kind].keys() - sent.resources.keys()
        self.rejected[kind] = (self.rejected[kind] - sent.resources.keys() - gone) | bad
        if "{" not in self.words:
            self.untold[kind] |= sent.resources.keys() - self.held[kind].keys()
        for name, content in sent.resources.items():
            if name not in bad and self._wanted(kind, name):
                self._apply(kind, name, content)
                fresh.add(name)
                self.versions[kind][name] = sent.versions.get(name, "")
        for name in sorted(gone):
            self._remove(kind, name)
        if kind is EDS:
            self.warming -= {*sent.resources, *sent.removed}
        # The real one would still claim the version it accepted last; docs/reference/protocol.md tells of it.
        self.version[kind] = "another" if bad else sent.version
        self.streams[kind].nonce = sent.nonce
        self.streams[kind].replies.append(Reply(sent.nonce, ", ".join(sorted(bad)), set(sent.resources)))

    def _wanted(self, kind: TypeUrl, name: str) -> bool:
        return kind in CHILD or name in self.children(kind)

    def _apply(self, kind: TypeUrl, name: str, content: str) -> None:
        old = self.held[kind].get(name)
        if kind in CHILD and old is not None and child(name, old) != child(name, content):
            self._remove(kind, name)
            old = None
        self.held[kind][name] = content
        if kind is CDS and old != content and self.aggregated:
            self.warming.add(child(name, content))
        if kind in CHILD and old is None:
            stream = self.streams[CHILD[kind]]
            stream.subscribe.add(child(name, content))
            if child(name, content) in stream.unsubscribe:
                stream.unsubscribe.remove(child(name, content))
                stream.back.add(child(name, content))
            stream.changed = True

    def _remove(self, kind: TypeUrl, name: str) -> None:
        self.versions[kind].pop(name, None)
        old = self.held[kind].pop(name, None)
        if old is None or kind not in CHILD:
            return
        name = child(name, old)
        self.warming -= {name} if kind is CDS else set()
        self.held[CHILD[kind]].pop(name, None)
        self.versions[CHILD[kind]].pop(name, None)
        self.rejected[CHILD[kind]].discard(name)
        stream = self.streams[CHILD[kind]]
        stream.subscribe.discard(name)
        stream.unsubscribe.add(name)
        stream.changed = True

    def _reply(self, kind: TypeUrl, request: Any, reply: Reply) -> None:
        if reply.rejected:
            request.error_detail.CopyFrom(Status(code=13, message=self.words.format(reply.rejected)))
        else:
            self.untold[kind] -= reply.names


class SotwEnvoy(FakeEnvoy):
    """It repeats all names, and answers the newest response only."""

    def speak(self, type_url: TypeUrl) -> Any:
        """Give the next request of a type."""
        stream = self.streams[type_url]
        request = DiscoveryRequest(
            type_url=type_url, response_nonce=stream.nonce, version_info=self.version.get(type_url, "")
        )
        names = self.children(type_url)
        # On a stream of its own what came back begins anew: it is not named in between.
        back = set() if self.aggregated else stream.back & names
        request.resource_names.extend(sorted(names - back))
        if stream.replies:
            self._reply(type_url, request, stream.replies[-1])
        stream.started, stream.changed, stream.replies = True, bool(back), []
        stream.unsubscribe, stream.back = set(), set()
        return request


class DeltaEnvoy(FakeEnvoy):
    """It says what changed, and answers every response in its turn."""

    def speak(self, type_url: TypeUrl) -> Any:
        """Give the next request of a type."""
        stream = self.streams[type_url]
        request = DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=sorted(stream.subscribe),
            resource_names_unsubscribe=sorted(stream.unsubscribe) if stream.started else (),
        )
        if not stream.started:
            # It does not claim to have what it waits for.
            waiting = self.warming if type_url is EDS else set()
            known = {n: v for n, v in self.versions[type_url].items() if n not in waiting}
            request.initial_resource_versions.update(known)
        if stream.replies:
            reply = stream.replies.pop(0)
            request.response_nonce = reply.nonce
            self._reply(type_url, request, reply)
        stream.started, stream.changed = True, False
        stream.subscribe, stream.unsubscribe = set(), set()
        return request
