"""All guards of the catalog, one after another, from what the source says to what is served.

    candidate --fleet-shrink--> --last-endpoint--> believed --outlive--> served

What nobody holds passes as the very object it came as, each service and the catalog itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

from xds_server.guard import last_endpoint, outlive, shrink
from xds_server.guard.changes import Change, Services, changes, overlaid, with_kept
from xds_server.guard.options import GuardOptions
from xds_server.model.catalog import Catalog, Instance, Service
from xds_server.model.hold import Hold
from xds_server.model.policy import Policy
from xds_server.model.table import differing


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks for a candidate.

    `now` is in Unix seconds, of a clock that does not jump; `live` whether its sources are live, so that what
    they lack is not just out of their sight.
    """

    now: float
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the guards remember from one weighing to the next.

    `lived` is the clock of the source in seconds: it runs while that is live. `believed` are the services,
    with what is kept of them, None before the first catalog, `fleet` how many these are, and `served` the
    same with those that have departed.
    """

    now: float = 0.0
    live: bool = False
    lived: float = 0.0
    believed: Services | None = None
    served: Services | None = None
    fleet: shrink.Fleet = shrink.NOBODY
    watch: shrink.Watch = field(default_factory=shrink.Watch)
    endings: Mapping[str, last_endpoint.Ending] = field(default_factory=lambda: MappingProxyType({}))
    departed: Mapping[str, outlive.Departed] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is served, what is held of the candidate, and the Unix time at which to weigh again by itself."""

    state: State
    catalog: Catalog
    holds: tuple[Hold, ...] = ()
    again: float | None = None


def beginning(restored: Catalog | None) -> State:
    """Give the state before the first catalog of the source: what an earlier run served is believed."""
    if restored is None:
        return State()
    served = restored.services
    gone = {name: outlive.Departed(one, 0.0) for name, one in served.items() if one.departed}
    believed = served.changed(dict.fromkeys(gone))
    return State(believed=believed, served=served, fleet=shrink.Fleet.of(believed), departed=gone)


def weigh(
    state: State,
    candidate: Catalog,
    evidence: Evidence,
    policy: Policy,
    options: GuardOptions,
    accepted: frozenset[str] = frozenset(),
) -> Decision:
    """Weigh a candidate, the same or another than before, against what is believed.

    `accepted` are the ids of the holds that the operator ends. The very first candidate is believed.
    """
    lived = state.lived + (max(0.0, evidence.now - state.now) if state.live else 0.0)
    times = (evidence.now, lived)
    believed, fleet = state.believed, state.fleet
    if believed is None:
        believed, fleet = candidate.services, shrink.Fleet.of(candidate.services)
    changed = changes(believed, candidate.services)
    mass = shrink.judge(
        state.watch, changed, (believed, fleet), times, options, accepted=shrink.NAME in accepted
    )
    last = last_endpoint.judge(state.endings, changed, times, policy, options, accepted)
    revived = {name: Change(old, candidate.services.get(name)) for name, old in mass.revived.items()}
    changed = {**changed, **revived}
    kept = {**mass.kept, **{name: _old(changed[name]) for name in (*last.holds, *revived)}}
    services = overlaid(candidate.services, _merged(changed, kept), believed, changed)
    passed = {name: changed[name] for name in differing(believed, services)}
    gone = outlive.departed(state.departed, passed, services, lived, options)
    held = [*mass.holds, *(one for name, one in last.holds.items() if not mass.kept.get(name))]
    holds = tuple(sorted(_with_end(hold, left, evidence) for hold, left in held))
    waits = [left for _, left in held] + outlive.waits(gone, lived, options)
    served = _served(state, services, passed, gone)
    return Decision(
        state=State(
            now=evidence.now,
            live=evidence.live,
            lived=lived,
            believed=services,
            served=served,
            fleet=fleet.moved(passed, believed, services),
            watch=shrink.noted(mass.watch, evidence.now, passed, (believed, services)),
            endings=last.endings,
            departed=gone,
        ),
        catalog=candidate if served is candidate.services else replace(candidate, services=served),
        holds=holds,
        again=_moment(min(waits, default=inf), evidence),
    )


def _old(change: Change) -> tuple[Instance, ...]:
    return change.old.instances if change.old else ()


def _merged(changed: Mapping[str, Change], kept: Mapping[str, tuple[Instance, ...]]) -> dict[str, Service]:
    """Give the services of which something is kept, as the candidate has them with that."""
    return {
        name: with_kept(change.new, change.old, instances)
        for name, instances in kept.items()
        if instances and (change := changed[name]).old is not None
    }


def _served(
    state: State, services: Services, changed: Mapping[str, Change], gone: Mapping[str, outlive.Departed]
) -> Services:
    """Give the services with those that have departed; the very same where there are none."""
    if not gone:
        return services
    before = services if state.served is None else state.served
    names = changed.keys() if gone is state.departed else {*changed, *state.departed, *gone}
    return before.changed(
        {name: gone[name].service if name in gone else services.get(name) for name in names}
    )


def _with_end(hold: Hold, left: float, evidence: Evidence) -> Hold:
    return replace(hold, until=_moment(left, evidence))


def _moment(left: float, evidence: Evidence) -> float | None:
    """Give the Unix time after `left` seconds of a live source; None where nobody knows when that is."""
    return evidence.now + left if evidence.live and left < inf else None
