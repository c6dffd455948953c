"""A catalog that changes, and servers that read it: each with snapshots and experiences of its own."""

from typing import TypeAlias

from tests.protocol.fake_envoy import BAD
from tests.protocol.resources import (
    CDS,
    EDS,
    LDS,
    RDS,
    cluster,
    content,
    endpoints,
    listener,
    routes,
    snapshot,
)
from xds_server.model.types import TypeUrl
from xds_server.protocol import Answer
from xds_server.runtime.kind import Kind
from xds_server.snapshot import EMPTY, Snapshot
from xds_server.translate.packing import Draft

Key: TypeAlias = tuple[TypeUrl, str]

TYPES = (CDS, EDS, LDS, RDS)


class Catalog:
    """Clusters with their endpoints, and listeners with their routes, as words of content."""

    def __init__(self) -> None:
        self.clusters: dict[str, str] = {}
        self.assignments: dict[str, str] = {}
        self.listeners: dict[str, str] = {}
        self.ways: dict[str, tuple[str, tuple[str, ...]]] = {}
        """Of each listener a word on its routes, and the clusters they lead to."""

    def put_cluster(self, name: str, word: str) -> None:
        self.clusters[name] = word
        self.assignments.setdefault(name, "1")

    def put_listener(self, name: str, word: str, mark: str, ways: set[str]) -> None:
        """Clusters its routes lead to that are not there come with it."""
        for one in sorted(ways - self.clusters.keys()):
            self.put_cluster(one, "1")
        self.listeners[name] = word
        self.ways[name] = mark, tuple(sorted(ways))

    def remove_listener(self, name: str) -> None:
        self.listeners.pop(name, None)
        self.ways.pop(name, None)

    def remove_cluster(self, name: str, instead: frozenset[str] = frozenset()) -> None:
        """All that leads there leads to others, if there are any."""
        self.clusters.pop(name, None)
        for key, (mark, ways) in self.ways.items():
            if name in ways:
                self.ways[key] = mark, tuple(sorted({*ways, *instead} - {name}))

    def drafts(self) -> list[Draft]:
        return [
            *(cluster(name, word) for name, word in self.clusters.items()),
            *(endpoints(name, self.assignments[name]) for name in self.clusters),
            *(listener(name, word) for name, word in self.listeners.items()),
            *(routes(name, *ways, word=mark) for name, (mark, ways) in self.ways.items()),
        ]


class Replica:
    """One server. While it `lags` it does not see the catalog change."""

    def __init__(self) -> None:
        self.kind = Kind()
        self.lags = False
        self._raw = EMPTY
        self._accepted: set[Key] = set()
        self._refused: dict[Key, str] = {}
        """The newest versions that somebody rejected."""

    @property
    def served(self) -> Snapshot:
        """What clients of the kind are served now."""
        newest = self.kind.snapshots.value
        assert newest is not None
        return newest

    def read(self, catalog: Catalog) -> None:
        if not self.lags:
            self._raw = snapshot(*catalog.drafts(), after=self._raw)
            self.kind.publish(self._raw)
            self._accepted = {key for key in self._accepted if self._version(key)}
            self._refused = {key: one for key, one in self._refused.items() if self._version(key) == one}

    def settle(self, answer: Answer) -> bool:
        """Take what a client made of a response; tell whether something else is served for it."""
        for name, resource in answer.resources.items():
            key = (answer.type, name)
            if not answer.rejected and self._version(key):
                self._accepted.add(key)
            elif answer.rejected and self._version(key) == resource.version:
                self._refused[key] = resource.version
        return self.kind.settle(answer, "model")

    def _version(self, key: Key) -> str:
        resource = self._raw.resource(*key)
        return "" if resource is None else resource.version

    def check_fallback(self) -> None:
        """What is bad is not served once it was rejected, if there is an older version that was accepted.

        Routes are left out: those that lead to what is gone for good may not come back.
        """
        for type_url, name in self._refused.keys() & self._accepted:
            if type_url is not RDS:
                assert not self.contents(type_url)[name].startswith(BAD), name

    def contents(self, type_url: TypeUrl) -> dict[str, str]:
        """Give what is served of a type, by name."""
        return dict(content(type_url, one.packed) for one in self.served.sets[type_url].by_name.values())
