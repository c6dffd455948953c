"""The fleet-shrink guard: much that goes at once is held, what is added or changed passes.

A source that loses its data, its rights or half of its answers looks like a fleet that shrinks. What is
missing stays as it was, and what went shortly before comes back, until it is there again, the operator
accepts it, or the source has gone on lacking the very same instances for a while during which it was live.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import Final

from xds_server.guard.changes import Change, Services, key
from xds_server.guard.options import GuardOptions
from xds_server.guard.shrink_rules import RULES, Shrink
from xds_server.guard.window import EMPTY, Window, size
from xds_server.model.catalog import Instance, Service
from xds_server.model.hold import Hold

NAME: Final = "fleet-shrink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How many services have instances, and how many instances that is."""

    services: int = 0
    endpoints: int = 0

    @classmethod
    def of(cls, services: Services) -> "Fleet":
        """Count all of them."""
        sizes = [len(one.instances) for one in services.values()]
        return cls(services=sum(map(bool, sizes)), endpoints=sum(sizes))

    def moved(self, names: Iterable[str], old: Services, new: Services) -> "Fleet":
        """Count on: nothing but these services differs between the two."""
        sizes = [(size(old.get(name)), size(new.get(name))) for name in names]
        return Fleet(
            services=self.services + sum((now > 0) - (was > 0) for was, now in sizes),
            endpoints=self.endpoints + sum(now - was for was, now in sizes),
        )


NOBODY: Final = Fleet()


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

    `past` are the changes of numbers of instances within the window; `held_since` is when the hold began.
    `settled` tells that what passes now has been held, and is not counted.
    """

    past: Window = EMPTY
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
    revived: Mapping[str, Service] = field(default_factory=lambda: MappingProxyType({}))
    holds: tuple[tuple[Hold, float], ...] = ()


def noted(
    watch: Watch, now: float, changed: Mapping[str, Change], services: tuple[Services, Services]
) -> Watch:
    """Remember what has just passed; `services` are those that were believed, and those that are."""
    if watch.settled:
        return replace(watch, settled=False)
    new = services[1]
    before = {name: one.old for name, one in changed.items() if one.before != size(new.get(name))}
    past = watch.past.noted(now, before, changed, services)
    return watch if past is watch.past else replace(watch, past=past)


def _recent(watch: Watch, now: float, options: GuardOptions, believed: Services) -> Window:
    """Give what is in the window, which stands still during a hold."""
    start = (now if watch.held_since is None else watch.held_since) - options.window
    return watch.past.since(start, believed)


def judge(
    watch: Watch,
    changed: Mapping[str, Change],
    services: tuple[Services, Fleet],
    times: tuple[float, float],
    options: GuardOptions,
    *,
    accepted: bool,
) -> Verdict:
    """Say what stays as it was.

    `services` are those that are believed, and how many, `times` the time now and what the clock of the
    source shows, which runs while it is live; both in seconds.
    """
    (believed, fleet), (now, lived) = services, times
    lacks = {
        name: lack
        for name, change in changed.items()
        if (lack := _lack(change, watch.lacks.get(name), lived))
    }
    past = _recent(watch, now, options, believed)
    if not lacks:
        return Verdict(watch=Watch(past=past))
    if accepted:
        return Verdict(watch=Watch(settled=True))
    kept, settled = {name: lack.gone for name, lack in lacks.items()}, False
    if watch.held_since is not None:
        kept = {name: _not_believed(lack, lived - options.hold) for name, lack in lacks.items()}
        if any(len(kept[name]) < len(lack.gone) for name, lack in lacks.items()):
            # What is believed after a hold is no reason to doubt what comes next.
            past, settled = EMPTY, True
    left = {name: _left(one, lacks.get(name), kept.get(name, ())) for name, one in changed.items()}
    shrink = _shrink(past, left, changed, fleet)
    if not any(rule.own_word == options.own_word and rule.trips(shrink, options) for rule in RULES):
        return Verdict(watch=Watch(past=past, settled=settled))
    since = now if watch.held_since is None else watch.held_since
    soonest = min(_earliest(lack, lived - options.hold) for lack in lacks.values())
    return Verdict(
        watch=Watch(past=past, lacks=lacks, held_since=since, settled=settled),
        kept=kept,
        revived={} if watch.held_since is not None or options.own_word else _revived(past, believed, changed),
        holds=((_hold(shrink, since, options), 0.0 if soonest == inf else soonest + options.hold - lived),),
    )


def _earliest(lack: Lack, believed: float) -> float:
    """Give when the first of the instances went that are not there since before `believed`."""
    if lack.earliest > believed:
        return lack.earliest
    return min((at for at in lack.since if at > believed), default=inf)


def _revived(past: Window, believed: Services, changed: Mapping[str, Change]) -> dict[str, Service]:
    """Give the services that the window took away before it was seen how many go."""
    return {
        name: one
        for name, one in past.first.items()
        if one is not None
        and one.instances
        and not size(believed.get(name))
        and not (name in changed and changed[name].after)
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


def _left(change: Change, lack: Lack | None, kept: tuple[Instance, ...]) -> int:
    """Give how many instances of a service are still believed."""
    return change.before - (len(lack.gone) - len(kept) if lack else 0)


def _shrink(past: Window, left: Mapping[str, int], changed: Mapping[str, Change], fleet: Fleet) -> Shrink:
    """Compare what the candidate has with what there was when the window began."""
    sums = past.sums
    for name, change in changed.items():
        had, believed = past.had(name), change.before
        if had is None:
            had = left[name]
        else:
            sums = sums.plus(had, believed, believed, times=-1)
        sums = sums.plus(had, believed, change.after)
    return Shrink(
        services=fleet.services + sums.more_services,
        lost_services=sums.lost_services,
        endpoints=fleet.endpoints + sums.more_endpoints,
        lost_endpoints=sums.lost_endpoints,
        left=fleet.services + sum((one.after > 0) - (one.before > 0) for one in changed.values()),
    )


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
