"""A pure Envoy: takes responses apart, keeps what is good, and says what Envoy would say next.

What it shares with the real one: it applies the good part of a response it rejects; a cluster that is new
or changed waits for endpoints that come after it, and the ACK of clusters waits with it; it subscribes to the
endpoints of its clusters and the routes of its listeners, and drops those of what is gone. It does not ask
again for the endpoints of a changed cluster. Content that begins with `bad` is rejected.

With a stream for each type nothing waits: each cluster of the real one has a stream of its own then, and
asks on it as the cluster changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.rpc.status_pb2 import Status

from tests.protocol.resources import CDS, EDS, LDS, RDS
from tests.protocol.talk import Sent
from xds_server.model.types import TypeUrl

TYPES = (CDS, EDS, LDS, RDS)
CHILD = {CDS: EDS, LDS: RDS}
PARENT = {child: parent for parent, child in CHILD.items()}
BAD = "bad"


@dataclass
class Substream:
    """What is to be said of one type on the present stream."""

    started: bool = False
    changed: bool = False
    replies: list[tuple[str, str]] = field(default_factory=list)
    """Nonces to acknowledge, each with the names of what is rejected in its response."""
    nonce: str = ""
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
        self.fresh: dict[TypeUrl, set[str]] = {}
        """What came and was good on the present stream."""
        self.streams: dict[TypeUrl, Substream] = {}
        self.connect()

    def connect(self, types: Iterable[TypeUrl] = TYPES) -> None:
        """Begin a stream for these types; what was to be said on the one before is forgotten."""
        for type_url in types:
            names = set(self.held[PARENT[type_url]]) if type_url in PARENT else set()
            changed = type_url in CHILD or bool(names)
            self.streams[type_url] = Substream(subscribe=names, changed=changed)
            self.fresh.pop(type_url, None)

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
        self.streams[kind].replies.append((sent.nonce, ", ".join(sorted(bad))))

    def _wanted(self, kind: TypeUrl, name: str) -> bool:
        return kind in CHILD or name in self.held[PARENT[kind]]

    def _apply(self, kind: TypeUrl, name: str, content: str) -> None:
        old = self.held[kind].get(name)
        self.held[kind][name] = content
        if kind is CDS and old != content and self.aggregated:
            self.warming.add(name)
        if kind in CHILD and old is None:
            child = self.streams[CHILD[kind]]
            child.subscribe.add(name)
            child.unsubscribe.discard(name)
            child.changed = True

    def _remove(self, kind: TypeUrl, name: str) -> None:
        self.versions[kind].pop(name, None)
        if self.held[kind].pop(name, None) is None or kind not in CHILD:
            return
        self.warming -= {name} if kind is CDS else set()
        child = CHILD[kind]
        self.held[child].pop(name, None)
        self.versions[child].pop(name, None)
        self.rejected[child].discard(name)
        stream = self.streams[child]
        stream.subscribe.discard(name)
        stream.unsubscribe.add(name)
        stream.changed = True


class SotwEnvoy(FakeEnvoy):
    """It repeats all names, and answers the newest response only."""

    def speak(self, type_url: TypeUrl) -> Any:
        """Give the next request of a type."""
        stream = self.streams[type_url]
        request = DiscoveryRequest(
            type_url=type_url, response_nonce=stream.nonce, version_info=self.version.get(type_url, "")
        )
        if type_url in PARENT:
            request.resource_names.extend(sorted(self.held[PARENT[type_url]]))
        rejected = stream.replies[-1][1] if stream.replies else ""
        if rejected:
            request.error_detail.CopyFrom(Status(code=13, message=self.words.format(rejected)))
        stream.started, stream.changed, stream.replies = True, False, []
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
            request.response_nonce, rejected = stream.replies.pop(0)
            if rejected:
                request.error_detail.CopyFrom(Status(code=13, message=self.words.format(rejected)))
        stream.started, stream.changed = True, False
        stream.subscribe, stream.unsubscribe = set(), set()
        return request
