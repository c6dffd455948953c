"""Made-up conversations, a word at a time."""

from typing import Any, Self

from tests.rig.conversation import Rule, violations
from tests.rig.xds_messages import Item, Request, Response, Stream
from xds_server.model.types import TypeUrl

CDS, EDS, LDS, RDS, SDS = (
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.LISTENER,
    TypeUrl.ROUTES,
    TypeUrl.SECRET,
)


def cluster(version: str, endpoints: str) -> Item:
    return Item(version=version, links=frozenset({(EDS, endpoints)}))


def listener(version: str, routes: str, **more: Any) -> Item:
    return Item(version=version, links=frozenset({(RDS, routes)}), **more)


def routes(version: str, *clusters: str) -> Item:
    return Item(version=version, links=frozenset((CDS, one) for one in clusters))


class Script:
    """One stream; what is said takes 10 ms a word."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self.events: list[Request | Response] = []
        self.now = 0.0
        self._names: dict[str, tuple[str, ...]] = {}
        self._count = 0

    def ask(self, type_url: str, *names: str, **fields: Any) -> Self:
        """Say that these are wanted: in SotW all that is, in delta in addition."""
        if self.variant == "sotw":
            self._names[type_url] = names
            fields["names"] = names
        else:
            fields["subscribe"] = names
        return self._add(Request(type=type_url, **fields, **self._stamp()))

    def drop(self, type_url: str, *names: str) -> Self:
        """Say that these are no longer wanted."""
        if self.variant == "sotw":
            return self.ask(type_url, *(n for n in self._names[type_url] if n not in names), nonce=self.nonce)
        return self._add(Request(type=type_url, unsubscribe=names, **self._stamp()))

    def send(
        self, type_url: str, *, removed: tuple[str, ...] = (), nonce: str | None = None, **items: Any
    ) -> Self:
        """Send resources by name: an Item, or its version alone."""
        self._count += 1
        given = {name: one if isinstance(one, Item) else Item(version=one) for name, one in items.items()}
        version = "/".join(f"{name}={one.version}" for name, one in sorted(given.items()))
        return self._add(
            Response(
                type=type_url,
                nonce=str(self._count) if nonce is None else nonce,
                version=version if self.variant == "sotw" else "",
                items=given,
                removed=removed,
                **self._stamp(),
            )
        )

    def ack(self, type_url: str, error: str | None = None) -> Self:
        """Answer the newest response of a type."""
        nonce = [e.nonce for e in self.events if isinstance(e, Response) and e.type == type_url][-1]
        names = self._names.get(type_url, ()) if self.variant == "sotw" else ()
        return self._add(Request(type=type_url, names=names, nonce=nonce, error=error, **self._stamp()))

    def give(self, type_url: str, **items: Any) -> Self:
        """Send, and acknowledge."""
        return self.send(type_url, **items).ack(type_url)

    def wait(self, seconds: float) -> Self:
        self.now += seconds
        return self

    @property
    def nonce(self) -> str:
        return str(self._count)

    def broken(self) -> set[Rule]:
        """Give the rules that are broken when the recording ends now."""
        stream = Stream(variant=self.variant, events=tuple(self.events))
        return {rule for rule, _ in violations(stream, until=self.now)}

    def _stamp(self) -> dict[str, Any]:
        self.now += 0.01
        return {"order": len(self.events), "at": self.now}

    def _add(self, event: Request | Response) -> Self:
        self.events.append(event)
        return self
