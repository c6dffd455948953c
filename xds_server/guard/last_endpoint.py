"""The last-endpoint guard: what becomes of a service that loses its last instance, by its own policy.

An instance that restarts is away for a moment, and a service of one instance with it. Only `publish` believes
that at once; the default is that, as Consul's answers are weighed before they come here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from xds_server.guard.changes import Change
from xds_server.guard.options import GuardOptions
from xds_server.model.hold import Hold
from xds_server.model.policy import LastEndpoint, Policy

NAME: Final = "last-endpoint"


def _seconds(options: GuardOptions) -> Mapping[LastEndpoint, float]:
    """Give for how long the last instances of a service stay: the whole table of this guard."""
    return {
        # Gone is gone: routes answer 503 with the reason.
        LastEndpoint.PUBLISH: 0.0,
        # Time for an instance to restart; requests go to its old address meanwhile.
        LastEndpoint.HOLD: options.last_endpoint_hold,
        # For what must have an address whatever the catalog says.
        LastEndpoint.KEEP: inf,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A service without an instance: since when, by the clock of the source and in Unix seconds."""

    lived: float
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is remembered of services without an instance, the holds, and in how many seconds each may end."""

    endings: Mapping[str, Ending]
    holds: Mapping[str, tuple[Hold, float]]


def judge(
    endings: Mapping[str, Ending],
    changed: Mapping[str, Change],
    times: tuple[float, float],
    policy: Policy,
    options: GuardOptions,
    accepted: frozenset[str],
) -> Verdict:
    """Say which services keep their last instances; `times` is now, and the clock of the source, in seconds.

    `accepted` are the ids of holds that the operator ends.
    """
    now, lived = times
    begun = {
        name: endings.get(name) or Ending(lived=lived, since=now)
        for name, change in changed.items()
        if change.before and not change.after
    }
    holds: dict[str, tuple[Hold, float]] = {}
    seconds = _seconds(options)
    for name, ending in begun.items():
        mode = policy.service(name).last_endpoint
        left = ending.lived + seconds[mode] - lived
        if left > 0 and f"{NAME}/{name}" not in accepted:
            holds[name] = (_hold(name, mode, ending, options), left)
    return Verdict(endings=begun, holds=holds)


def _hold(service: str, mode: LastEndpoint, ending: Ending, options: GuardOptions) -> Hold:
    in_time = f"or after {options.last_endpoint_hold:g} s, " if mode is LastEndpoint.HOLD else ""
    return Hold(
        guard=NAME,
        subject=service,
        sentence=(
            f'service "{service}" has no instance any more; by its policy (last_endpoint: {mode.value}) the '
            "ones it had last are served"
        ),
        release=(
            f"it ends when an instance is registered, {in_time}or at once with "
            f"`xds-server accept {NAME}/{service}`"
        ),
        since=ending.since,
    )
