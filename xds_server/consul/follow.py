"""Which services are followed closely, each by a long poll of its own, and which by the wide queries; pure.

While there is a connection for each service, all are. Beyond that the connections go to the services that
proxies use, those before the others that changed last.
"""

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from typing import Final

WIDE_POLLS: Final = 3
"""Long polls about all services, besides that of their list."""

MOST_READS: Final = 16
"""How many queries that are not held are open at once at the most, while services are followed wide."""

_LIST_POLLS: Final = 1
_FEWEST_READS: Final = 2
_READS_SHARE: Final = 8  # one connection of so many is kept for queries that are not held


class Following:
    """Decides; `follow`, `start` and `stays` tell those who ask.

    `room` is how many queries may be open at once.
    """

    def __init__(self, room: int) -> None:
        self.close: set[str] = set()
        self._all = self._some = 0
        self.resize(room)
        self._listed: frozenset[str] = frozenset()
        self._used: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()
        self._recent: OrderedDict[str, int] = OrderedDict()  # no more than may be close, newest last
        self._changes = 0

    @property
    def wide(self) -> bool:
        """Whether there are too many services for a long poll each."""
        return len(self._listed) > self._all

    def resize(self, room: int) -> None:
        """Take over how many queries may be open; the next `follow` acts on it."""
        reads = min(MOST_READS, max(_FEWEST_READS, room // _READS_SHARE))
        self._all = max(1, room - _LIST_POLLS)
        self._some = max(0, self._all - WIDE_POLLS - reads)

    def follow(self, names: frozenset[str]) -> frozenset[str]:
        """Take over the list of services; give those whose long polls have to end now."""
        self._listed = names
        self._wanted = self._used & names
        for name in self._recent.keys() - names:
            del self._recent[name]
        ended = self.close - names
        if self.wide:
            # Only as many as stand above the room: ends that Consul does not notice are costly.
            ended |= set(self._best(self.close - ended)[self._some :])
        self.close -= ended
        return frozenset(ended)

    def use(self, names: frozenset[str]) -> None:
        """Take over which names proxies use; those that are no service count for nothing."""
        self._used = names
        self._wanted = names & self._listed

    def change(self, name: str) -> None:
        """Take note that a service changed."""
        if name not in self._listed:
            return
        self._changes += 1
        self._recent[name] = self._changes
        self._recent.move_to_end(name)
        if len(self._recent) > self._some:
            self._recent.popitem(last=False)

    def start(self) -> list[str]:
        """Give the services that get a long poll now; they are close from now on."""
        if not self.wide:
            started = sorted(self._listed - self.close)
        else:
            free = self._some - len(self.close)
            started = self._best(self._candidates())[:free] if free > 0 else []
        self.close.update(started)
        return started

    def stays(self, name: str) -> bool:
        """Tell whether a service whose poll has just ended keeps its connection; else it is close no more."""
        if name not in self.close:
            return False
        if not self.wide:
            return True
        if self._better(name) < self._some:
            return True
        self.close.discard(name)
        return False

    def _better(self, name: str) -> int:
        """Count the services that deserve a connection more than one that has it."""
        mine = self._rank(name)
        better = sum(self._rank(other) > mine for other in self.close | self._recent.keys())
        if name not in self._used:
            better += len(self._wanted - self.close - self._recent.keys())
        return better

    def _candidates(self) -> AbstractSet[str]:
        return (self._wanted | self._recent.keys()) - self.close

    def _best(self, names: AbstractSet[str]) -> list[str]:
        """Give names with the worthiest first, and those that are worth the same in order."""
        return sorted(sorted(names), key=self._rank, reverse=True)

    def _rank(self, name: str) -> tuple[bool, int]:
        return name in self._used, self._recent.get(name, 0)
