"""What has to hold of every conversation between a client and this server, whatever the test is about.

    assert not violations(stream, until=now)

Each rule looks at one stream, in the order in which things passed on the way.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import StrEnum

from tests.rig.replay import CROSSING, FULL_STATE, WILDCARD, Routing, Sent, Subscriptions
from tests.rig.xds_messages import Request, Response, Stream
from xds_server.model.types import TypeUrl

_CHILDREN = frozenset({TypeUrl.ENDPOINTS, TypeUrl.ROUTES})


class Rule(StrEnum):
    """What can be violated, and be excused."""

    ASKED = "what is sent was asked for (P-064)"
    ANSWERED = "every response is acknowledged or rejected (P-027, P-028)"
    ENDPOINTS = "the endpoints of a new or changed cluster follow it at once (P-091)"
    ROUTES = "routes lead only to clusters the client was sent before (P-093)"
    REMOVAL = "a cluster leaves after the routes that named it, acknowledged (P-094)"
    NEED = "a response says something new, or was asked for (P-037)"
    REJECTED = "what was rejected is not sent again unasked (P-030)"
    NONCE = "every response has a nonce of its own (P-016, P-023)"
    READABLE = "what was said can be read"
    WARMING = "nothing was waited for in warming (P-089, P-091)"


def violations(stream: Stream, *, until: float) -> list[tuple[Rule, str]]:
    """Give every rule that a stream breaks, with a sentence; `until` is when the recording ended."""
    return [(rule, sentence) for rule, check in _CHECKS.items() for sentence in check(stream, until)]


def _asked(stream: Stream, until: float) -> Iterator[str]:
    wanted = Subscriptions(stream)
    held: dict[str, set[str]] = defaultdict(set)
    for event in stream.events:
        wanted.take(event)
        if isinstance(event, Request):
            held[event.type].update(event.held)
            continue
        of_type = wanted[event.type]
        for name, item in event.items.items():
            if not any(of_type.covers(one, event.at) for one in (name, *item.aliases)):
                yield f"{_told(event)} brings {name!r}, which was not asked for"
        for name in event.removed:
            if not of_type.covers(name, event.at) and name not in held[event.type]:
                yield f"{_told(event)} takes {name!r} away, which was not asked for"


def _answered(stream: Stream, until: float) -> Iterator[str]:
    end = until if stream.ended is None else stream.ended
    waiting: dict[str, list[Response]] = defaultdict(list)
    for event in stream.events:
        of_type = waiting[event.type]
        if isinstance(event, Response):
            of_type.append(event)
        elif event.nonce in (nonces := [one.nonce for one in of_type]):
            # In SotW the answer to a newer response speaks for the older ones, too.
            answered = nonces.index(event.nonce)
            del of_type[0 if stream.variant == "sotw" else answered : answered + 1]
    for event in (one for of_type in waiting.values() for one in of_type):
        if end - event.at > CROSSING:
            yield f"{_told(event)} was not answered in the {end - event.at:.1f} s that were left"


def _endpoints(stream: Stream, until: float) -> Iterator[str]:
    end = until if stream.ended is None else stream.ended
    wanted, sent = Subscriptions(stream), Sent(stream)
    due: dict[str, Response] = {}
    for event in stream.events:
        wanted.take(event)
        for name in sent.gone(event) if event.type == TypeUrl.CLUSTER else ():
            due.pop(name, None)
        for name in _endpoints_in(event):
            cluster = due.pop(name, None)
            if cluster is not None and (late := _late(wanted, name, cluster, event.at)):
                yield f"#{event.order} brings {name!r} {late:.1f} s after its cluster"
        due.update(dict.fromkeys(_endpoints_due(event, sent), event))
        sent.take(event)
    for name, cluster in due.items():
        if late := _late(wanted, name, cluster, end):
            yield f"{_told(cluster)} changes {name!r}, whose endpoints did not follow in {late:.1f} s"


def _endpoints_in(event: Request | Response) -> tuple[str, ...]:
    if isinstance(event, Request) or event.type != TypeUrl.ENDPOINTS:
        return ()
    return (*event.items, *event.removed)


def _endpoints_due(event: Request | Response, sent: Sent) -> set[str]:
    """Give the endpoints that an Envoy waits for after a response: those of new and changed clusters."""
    if isinstance(event, Request) or event.type != TypeUrl.CLUSTER:
        return set()
    new = [item for name, item in event.items.items() if sent.is_new(event, name)]
    return {child for item in new for kind, child in item.links if kind == TypeUrl.ENDPOINTS}


def _late(wanted: Subscriptions, name: str, cluster: Response, at: float) -> float:
    """Give the seconds for which the endpoints of a sent cluster were wanted, 0 if that is not too long."""
    endpoints = wanted[TypeUrl.ENDPOINTS]
    if name not in endpoints.names:
        return 0.0
    waited = at - max(cluster.at, endpoints.since[name])
    return waited if waited > CROSSING else 0.0


def _routes(stream: Stream, until: float) -> Iterator[str]:
    sent, listed, on_demand = Sent(stream), False, False
    for event in stream.events:
        if event.type == TypeUrl.CLUSTER:
            # Until a SotW client that claims a version is sent a list, what it holds is not known here.
            listed = listed or isinstance(event, Response) or not event.version
        elif isinstance(event, Response):
            on_demand = on_demand or any(item.on_demand for item in event.items.values())
            missing = sorted(_clusters(event) - sent.versions[TypeUrl.CLUSTER].keys())
            if missing and listed and not on_demand:
                yield f"{_told(event)} leads to {missing}, which the client was not sent"
        sent.take(event)


def _clusters(response: Response) -> set[str]:
    return {
        name
        for item in response.items.values()
        for kind, name in item.links
        if kind == TypeUrl.CLUSTER and response.type != TypeUrl.CLUSTER
    }


def _removal(stream: Stream, until: float) -> Iterator[str]:
    sent, wanted, used = Sent(stream), Subscriptions(stream), Routing()
    for event in stream.events:
        wanted.take(event)
        used.take(event, stream.variant)
        for name in sorted(sent.gone(event)) if event.type == TypeUrl.CLUSTER else ():
            if ways := used.ways_to(name, wanted[TypeUrl.ROUTES]):
                yield f"{_told(event)} takes {name!r} away, while {ways} lead there"
        sent.take(event)


def _need(stream: Stream, until: float) -> Iterator[str]:
    sent, wanted = Sent(stream), Subscriptions(stream)
    due: set[tuple[str, str]] = set()
    for event in stream.events:
        wanted.take(event)
        if isinstance(event, Response):
            whole = stream.variant == "sotw" and event.type in FULL_STATE
            needed = {n: _needed(event, n, wanted, due) or sent.is_new(event, n) for n in event.items}
            gone = {name: _needed(event, name, wanted, due) for name in event.removed}
            gone.update(dict.fromkeys(sent.gone(event), True))
            idle = [name for name, so in {**needed, **gone}.items() if not so]
            if whole and (any(needed.values()) or any(gone.values()) or wanted[event.type].waits(event.at)):
                idle = []
            if idle:
                yield f"{_told(event)} repeats {idle[:5]}, which nobody asked for"
            elif not (needed or gone or wanted[event.type].waits(event.at)):
                yield f"{_told(event)} is empty, and nobody asked"
            names = {*event.items, *event.removed, *(a for i in event.items.values() for a in i.aliases)}
            wanted[event.type].answer(names, event.at)
            due -= {(event.type, name) for name in names}
            due.update(link for item in event.items.values() for link in item.links if link[0] in _CHILDREN)
        sent.take(event)


def _needed(event: Response, name: str, wanted: Subscriptions, due: set[tuple[str, str]]) -> bool:
    item = event.items.get(name)
    names = (name,) if item is None else (name, *item.aliases)
    return (
        (item is not None and item.heartbeat)
        or (event.type, name) in due
        or any(wanted[event.type].asks_for(one, event.at) for one in names)
    )


def _rejected(stream: Stream, until: float) -> Iterator[str]:
    wanted = Subscriptions(stream)
    responses: dict[tuple[str, str], Response] = {}
    refused: set[tuple[str, str, str]] = set()
    for event in stream.events:
        wanted.take(event)
        if isinstance(event, Response):
            responses[event.type, event.nonce] = event
            again = sorted(
                name
                for name, version in _versions(stream, event).items()
                if (event.type, name, version) in refused and not wanted[event.type].asks_for(name, event.at)
            )
            if again:
                yield f"{_told(event)} brings {again} as it was rejected before"
            wanted[event.type].answer({*event.items, *event.removed}, event.at)
        elif event.error is not None and (bad := responses.get((event.type, event.nonce))):
            refused.update((event.type, name, v) for name, v in _versions(stream, bad).items())


def _versions(stream: Stream, response: Response) -> dict[str, str]:
    """Give what a rejection is of: in SotW the whole list of clusters or listeners is one thing."""
    if stream.variant == "sotw" and response.type in FULL_STATE:
        return {WILDCARD: response.version}
    return {name: item.version for name, item in response.items.items() if not item.heartbeat}


def _nonce(stream: Stream, until: float) -> Iterator[str]:
    seen: set[str] = set()
    for event in stream.events:
        if isinstance(event, Response):
            if not event.nonce:
                yield f"{_told(event)} has no nonce"
            elif event.nonce in seen:
                yield f"{_told(event)} has a nonce of before"
            seen.add(event.nonce)


_CHECKS: dict[Rule, Callable[[Stream, float], Iterator[str]]] = {
    Rule.ASKED: _asked,
    Rule.ANSWERED: _answered,
    Rule.ENDPOINTS: _endpoints,
    Rule.ROUTES: _routes,
    Rule.REMOVAL: _removal,
    Rule.NEED: _need,
    Rule.REJECTED: _rejected,
    Rule.NONCE: _nonce,
}


def _told(response: Response) -> str:
    return f"#{response.order} {response.type.rpartition('.')[2]} {response.nonce}"
