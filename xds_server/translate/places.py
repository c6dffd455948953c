"""Where instances are, seen from here: our own datacenter first, then the others in the operator's order."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The datacenters whose instances are used.

    `own` is ours, `others` are the nearest first, and `lost` those whose instances can no longer be believed
    to be healthy.
    """

    own: str
    others: tuple[str, ...] = ()
    lost: frozenset[str] = frozenset()

    def distance(self, datacenter: str) -> int:
        """Give 0 for our own datacenter (also for an instance that says none), then 1 and up."""
        if self.is_here(datacenter) or datacenter not in self.others:
            return 0
        return 1 + self.others.index(datacenter)

    def is_here(self, datacenter: str) -> bool:
        """Tell whether a datacenter is our own; an instance that says none is in it."""
        return not datacenter or datacenter == self.own
