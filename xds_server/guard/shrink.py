"""The fleet-shrink guard: much that goes at once is held, what is added or changed passes.

A source that loses its data, its rights or half of its answers looks like a fleet that shrinks. What is
missing stays as it was, and what went shortly before comes back, until it is there again, the operator
accepts it, or the source has gone on lacking the very same instances for a while during which it was live.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.guard.changes import Change, Services, key
from xds_server.guard.options import GuardOptions
from xds_server.guard.shrink_rules import ENDPOINTS_FLOOR, RULES, Shrink
from xds_server.model.catalog import Instance, Service
from xds_server.model.hold import Hold

NAME: Final = "fleet-shrink"

Past: TypeAlias = tuple[tuple[float, Mapping[str, Service | None]], ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """What the candidate lacks of one service, and since when, for each instance, by the clock of the source.

    `before` are the very objects it was made from.
    """

    before: Change
    gone: tuple[Instance, ...]
    since: tuple[float, ...]
    earliest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What this guard remembers.

    `past` are the times at which numbers of instances changed, with the services before; `held_since` is
    when the hold began. `settled` tells that what passes now has been held, and is not counted.
    """

    past: Past = ()
    lacks: Mapping[str, Lack] = field(default_factory=lambda: MappingProxyType({}))
    held_since: float | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is kept of each service, and the hold with the seconds of a live source until it may end.

    `revived` are services that had gone already, whole.
    """

    watch: Watch
    kept: Mapping[str, tuple[Instance, ...]] = field(default_factory=lambda: MappingProxyType({}))
    revived: Services = field(default_factory=lambda: MappingProxyType({}))
    holds: tuple[tuple[Hold, float], ...] = ()


def noted(watch: Watch, now: float, before: Mapping[str, Service | None]) -> Watch:
    """Remember the services `before` a change of their numbers that has passed just now."""
    if not before or watch.settled:
        return replace(watch, settled=False) if watch.settled else watch
    return replace(watch, past=(*watch.past, (now, before)))


def _recent(watch: Watch, now: float, options: GuardOptions) -> Past:
    """Give what is in the window, which stands still during a hold."""
    start = (now if watch.held_since is None else watch.held_since) - options.window
    if not watch.past or watch.past[0][0] >= start:
        return watch.past
    return tuple(one for one in watch.past if one[0] >= start)


def judge(
    watch: Watch,
    changed: Mapping[str, Change],
    services: tuple[Services, Services],
    times: tuple[float, float],
    options: GuardOptions,
    *,
    accepted: bool,
) -> Verdict:
    """Say what stays as it was.

    `services` are those believed and those of the candidate, `times` the time now and what the clock of the
    source shows, which runs while it is live; both in seconds.
    """
    now, lived = times
    lacks = {
        name: lack
        for name, change in changed.items()
        if (lack := _lack(change, watch.lacks.get(name), lived))
    }
    past = _recent(watch, now, options)
    if not lacks:
        return Verdict(watch=Watch(past=past))
    if accepted:
        return Verdict(watch=Watch(settled=True))
    kept, settled = {name: lack.gone for name, lack in lacks.items()}, False
    if watch.held_since is not None:
        kept = {name: _not_believed(lack, lived - options.hold) for name, lack in lacks.items()}
        if any(len(kept[name]) < len(lack.gone) for name, lack in lacks.items()):
            # What is believed after a hold is no reason to doubt what comes next.
            past, settled = (), True
    first = _first(past)
    left = {name: _left(one, lacks.get(name), kept.get(name, ())) for name, one in changed.items()}
    shrink = _shrink(first, left, services)
    if not any(rule.own_word == options.own_word and rule.trips(shrink, options) for rule in RULES):
        return Verdict(watch=Watch(past=past, settled=settled))
    since = now if watch.held_since is None else watch.held_since
    soonest = min(_earliest(lack, lived - options.hold) for lack in lacks.values())
    return Verdict(
        watch=Watch(past=past, lacks=lacks, held_since=since, settled=settled),
        kept=kept,
        revived={} if watch.held_since is not None or options.own_word else _revived(first, services),
        holds=((_hold(shrink, since, options), 0.0 if soonest == inf else soonest + options.hold - lived),),
    )


def _earliest(lack: Lack, believed: float) -> float:
    """Give when the first of the instances went that are not there since before `believed`."""
    if lack.earliest > believed:
        return lack.earliest
    return min((at for at in lack.since if at > believed), default=inf)


def _first(past: Past) -> Mapping[str, Service | None]:
    """Give the services whose numbers changed in the window as they were when it began."""
    first: dict[str, Service | None] = {}
    for _, before in reversed(past):
        first.update(before)
    return first


def _revived(first: Mapping[str, Service | None], services: tuple[Services, Services]) -> Services:
    """Give the services that the window took away before it was seen how many go."""
    believed, candidate = services
    return {
        name: one
        for name, one in first.items()
        if one is not None and one.instances and not _size(believed, name) and not _size(candidate, name)
    }


def _lack(change: Change, known: Lack | None, lived: float) -> Lack | None:
    """Give what one service lacks; None where that is nothing."""
    if known is not None and known.before.old is change.old and known.before.new is change.new:
        return known
    gone = change.gone
    if not gone:
        return None
    since = {key(one): at for one, at in zip(known.gone, known.since, strict=True)} if known else {}
    began = tuple(since.get(key(one), lived) for one in gone)
    return Lack(change, gone, began, min(began))


def _not_believed(lack: Lack, believed: float) -> tuple[Instance, ...]:
    """Give what of a lack began after `believed`, by the clock of the source."""
    if lack.earliest > believed:
        return lack.gone
    return tuple(one for one, at in zip(lack.gone, lack.since, strict=True) if at > believed)


def _left(change: Change, lack: Lack | None, kept: tuple[Instance, ...]) -> tuple[int, int]:
    """Give how many instances of a service are still believed, and how many the candidate has."""
    return change.before - (len(lack.gone) - len(kept) if lack else 0), change.after


def _shrink(
    first: Mapping[str, Service | None],
    changed: Mapping[str, tuple[int, int]],
    services: tuple[Services, Services],
) -> Shrink:
    """Compare what the candidate has with what there was when the window began."""
    believed, candidate = services
    had = {name: count for name, (count, _) in changed.items()}
    had.update({name: len(one.instances) if one else 0 for name, one in first.items()})
    has = {name: changed[name][1] if name in changed else _size(believed, name) for name in had}
    lost_services = sum(had[name] > 0 and not has[name] for name in had)
    lost_endpoints = sum(max(0, had[name] - has[name]) for name in had)
    if not lost_services and lost_endpoints < ENDPOINTS_FLOOR:
        return Shrink(lost_services=lost_services, lost_endpoints=lost_endpoints)
    sizes = {name: len(one.instances) for name, one in believed.items()} | had
    return Shrink(
        services=sum(map(bool, sizes.values())),
        lost_services=lost_services,
        endpoints=sum(sizes.values()),
        lost_endpoints=lost_endpoints,
        left=sum(bool(one.instances) for one in candidate.values()),
    )


def _size(services: Services, name: str) -> int:
    return len(services[name].instances) if name in services else 0


def _hold(shrink: Shrink, since: float, options: GuardOptions) -> Hold:
    return Hold(
        guard=NAME,
        subject="",
        sentence=(
            f"{shrink.lost_services} of {shrink.services} services and {shrink.lost_endpoints} of "
            f"{shrink.endpoints} endpoints went missing within {options.window:g} s; they are served as they "
            "were, and what is added or changed passes"
        ),
        release=(
            f"it ends when they are back, or when the source, while live, has lacked them for "
            f"{options.hold:g} s; `xds-server accept {NAME}` ends it at once"
        ),
        since=since,
    )
