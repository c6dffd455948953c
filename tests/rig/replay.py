"""A stream followed message by message: what is wanted, what was sent, where routes lead."""

from collections import defaultdict

from tests.rig.xds_messages import Item, Request, Response, Stream
from xds_server.model.types import TypeUrl

FULL_STATE = frozenset({TypeUrl.CLUSTER, TypeUrl.LISTENER})
"""Types whose SotW responses hold everything: what one leaves out is gone (P-060, P-061)."""

CROSSING = 1.0
"""Seconds within which a request and a response may have crossed: neither side knew of the other's."""

WILDCARD = "*"
_SCOPED_ROUTES = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
_LEGACY_WILDCARD = frozenset({TypeUrl.CLUSTER, TypeUrl.LISTENER, _SCOPED_ROUTES})


class Wanted:
    """The subscription of one type, and which names were asked for when."""

    def __init__(self, variant: str, type_url: str) -> None:
        self.names: set[str] = set()
        self.since: dict[str, float] = {}
        """When each name of `names` was last asked for."""
        self._sotw = variant == "sotw"
        self._legacy = type_url in _LEGACY_WILDCARD
        self._started = self._named = False
        self._asked_at = self._answered_at = float("-inf")
        self._left: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._answered: dict[str, float] = {}

    @property
    def wildcard(self) -> bool:
        """Whether everything is wanted."""
        return WILDCARD in self.names

    def take(self, request: Request) -> None:
        """Take the next request of the type."""
        if self._sotw:
            self._replace(request)
        else:
            self._change(request)
        self._started = True

    def _replace(self, request: Request) -> None:
        names = set(request.names) - {""}
        self._named |= bool(names)
        if self._legacy and not names and not self._named:
            names = {WILDCARD}
        added = names - self.names if self._started else names
        self._leave(self.names - names, request.at)
        self._ask(added, request.at)

    def _change(self, request: Request) -> None:
        names = set(request.subscribe)
        if self._legacy and not self._started and not (names or request.unsubscribe):
            names = {WILDCARD}
        self._ask(names, request.at)
        self._leave(set(request.unsubscribe), request.at)
        if self.wildcard:
            # P-051: what is dropped beside the wildcard is answered.
            self._asked.update(dict.fromkeys(request.unsubscribe, request.at))

    def _ask(self, names: set[str], at: float) -> None:
        self.names |= names
        self.since.update(dict.fromkeys(names, at))
        self._asked.update(dict.fromkeys(names, at))
        if names:
            self._asked_at = at

    def _leave(self, names: set[str], at: float) -> None:
        self.names -= names
        self._left.update(dict.fromkeys(names, at))

    def covers(self, name: str, at: float) -> bool:
        """Tell whether a name may be sent: it is wanted, or its farewell may have crossed the response."""
        return any(
            one in self.names or at - self._left.get(one, float("-inf")) < CROSSING
            for one in (name, WILDCARD)
        )

    def asks_for(self, name: str, at: float) -> bool:
        """Tell whether a name was asked for and not answered since, but for what may have crossed."""
        return any(
            one in self._asked
            and (self._answered.get(one, -1.0) < self._asked[one] or at - self._asked[one] < CROSSING)
            for one in (name, WILDCARD)
        )

    def waits(self, at: float) -> bool:
        """Tell whether anything was asked for since the last response, but for what may have crossed."""
        return self._answered_at < self._asked_at or at - self._asked_at < CROSSING

    def answer(self, names: set[str], at: float) -> None:
        """Take note that a response with these names was sent."""
        self._answered.update(dict.fromkeys({*names, WILDCARD}, at))
        self._answered_at = at


class Subscriptions:
    """What a stream has asked for, by type."""

    def __init__(self, stream: Stream) -> None:
        self._variant = stream.variant
        self._by_type: dict[str, Wanted] = {}

    def __getitem__(self, type_url: str) -> Wanted:
        return self._by_type.setdefault(type_url, Wanted(self._variant, type_url))

    def take(self, event: Request | Response) -> None:
        if isinstance(event, Request):
            self[event.type].take(event)


class Sent:
    """The versions that were last sent on a stream, or that a reconnecting delta client said it has."""

    def __init__(self, stream: Stream) -> None:
        self.versions: dict[str, dict[str, str]] = defaultdict(dict)
        self._sotw = stream.variant == "sotw"

    def is_new(self, response: Response, name: str) -> bool:
        item = response.items[name]
        return not item.heartbeat and self.versions[response.type].get(name) != item.version

    def gone(self, event: Request | Response) -> set[str]:
        """Give what a response takes away of what was there."""
        if isinstance(event, Request):
            return set()
        known = self.versions[event.type].keys()
        whole = self._sotw and event.type in FULL_STATE
        return set(known - event.items.keys() if whole else known & set(event.removed))

    def take(self, event: Request | Response) -> None:
        known = self.versions[event.type]
        if isinstance(event, Request):
            known.update((name, version) for name, version in event.held.items() if name not in known)
            return
        for name in self.gone(event):
            del known[name]
        known.update((n, item.version) for n, item in event.items.items() if not item.heartbeat)


class Routing:
    """The listeners and routes that a client has acknowledged."""

    def __init__(self) -> None:
        self._acknowledged: dict[str, dict[str, Item]] = {TypeUrl.LISTENER: {}, TypeUrl.ROUTES: {}}
        self._waiting: dict[tuple[str, str], Response] = {}
        self._left: set[str] = set()
        """Routes of listeners that are gone. Envoy keeps its subscription while the listener drains."""

    def take(self, event: Request | Response, variant: str) -> None:
        if event.type not in self._acknowledged:
            return
        if isinstance(event, Response):
            self._waiting[event.type, event.nonce] = event
            return
        answered = self._waiting.pop((event.type, event.nonce), None)
        if answered is None or event.error is not None:
            return
        before = self._acknowledged[event.type]
        whole = variant == "sotw" and event.type in FULL_STATE
        kept = {} if whole else {k: v for k, v in before.items() if k not in answered.removed}
        self._acknowledged[event.type] = {**kept, **answered.items}
        if event.type == TypeUrl.LISTENER:
            now = _routes_of(self._acknowledged[TypeUrl.LISTENER])
            self._left = (self._left | _routes_of(before)) - now

    def ways_to(self, cluster: str, wanted: Wanted) -> list[str]:
        link = (TypeUrl.CLUSTER, cluster)
        listeners = [n for n, item in self._acknowledged[TypeUrl.LISTENER].items() if link in item.links]
        routes = [
            name
            for name, item in self._acknowledged[TypeUrl.ROUTES].items()
            if link in item.links and name in wanted.names and name not in self._left
        ]
        return sorted({*listeners, *routes})


def _routes_of(listeners: dict[str, Item]) -> set[str]:
    return {name for item in listeners.values() for kind, name in item.links if kind == TypeUrl.ROUTES}
