"""Guards: what of a change is not believed yet, and how it is released. Pure; time is an argument."""

from xds_server.guard.empty import emptied, refilled
from xds_server.guard.guards import Decision, Evidence, State, beginning, weigh
from xds_server.guard.options import GuardOptions

__all__ = ["Decision", "Evidence", "GuardOptions", "State", "beginning", "emptied", "refilled", "weigh"]
