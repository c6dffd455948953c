"""How Consul is watched, and what that may cost."""

from dataclasses import dataclass, field

from xds_server.consul.budget import PER_SECOND
from xds_server.consul.evidence import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How Consul is watched; seconds.

    `wait` is how long Consul may hold a query; it is short, as a poll that nobody waits for any more holds
    its connection until then. `sync_deadline` is how long the first catalog waits for a service while no
    other is read. `burst` and `per_second` bound the queries of each watch, `requests_per_second` those of
    all. Every service is read once in `sweep`.

    With `stale` any server may answer, with `cached` the agent from its cache, `max_age` old at the most.
    `bounds` say what proof is asked for. `entries` is whether config entries are read, with a long poll for
    each kind of them.
    """

    wait: float = 60.0
    sync_deadline: float = 10.0
    burst: int = 5
    per_second: float = 2.0
    requests_per_second: float = PER_SECOND
    sweep: float = 600.0
    stale: bool = True
    cached: bool = False
    max_age: float | None = None
    bounds: Bounds = field(default_factory=Bounds)
    entries: bool = True
