"""A catalog that changes, and servers that read it: each with snapshots and experiences of its own."""

from contextlib import closing

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
from xds_server.runtime.kind import Kind
from xds_server.runtime.view import View
from xds_server.snapshot import EMPTY, Snapshot
from xds_server.translate.packing import Draft

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

    def read(self, catalog: Catalog) -> None:
        if not self.lags:
            self._raw = snapshot(*catalog.drafts(), after=self._raw)
            self.kind.publish(self._raw)

    def check_newcomer(self) -> None:
        """What is known to be bad is not served to one that comes now.

        Routes are left out: those that lead to what is gone for good may not come back.
        """
        with closing(self.kind.view("newcomer")) as view:
            for type_url, name in self.kind.refusals:
                if type_url is not RDS and name in served(view).sets[type_url].by_name:
                    assert not contents(view, type_url)[name].startswith(BAD), name


def served(view: View) -> Snapshot:
    """What a stream is served now."""
    newest = view.snapshots.value
    assert newest is not None
    return newest


def contents(view: View, type_url: TypeUrl) -> dict[str, str]:
    """Give what is served of a type, by name."""
    return dict(content(type_url, one.packed) for one in served(view).sets[type_url].by_name.values())
