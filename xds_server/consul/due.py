"""Which services are to be read next, and when each was read last; pure."""

import heapq
from collections import OrderedDict
from enum import IntEnum


class Why(IntEnum):
    """Why a service is read, the most urgent first."""

    CHANGED = 0  # a wide query says so
    FIRST = 1  # it never was
    AGAIN = 2  # it could not be read
    SWEPT = 3  # nothing says that it changed


class Due:
    """Names to be read, each once at a time; one that falls due while it is read is read again after that.

    It knows every service that is followed by the wide queries: `follow` and `forget`.
    """

    def __init__(self) -> None:
        self._asked: OrderedDict[str, float] = OrderedDict()  # when it was last put, the longest ago first
        self._wanted: dict[str, Why] = {}
        self._heap: list[tuple[Why, int, str]] = []
        self._reading: set[str] = set()
        self._puts = 0

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, name: object) -> bool:
        return name in self._asked

    @property
    def names(self) -> frozenset[str]:
        """The services that are known here."""
        return frozenset(self._asked)

    @property
    def longest(self) -> tuple[str, float] | None:
        """The service that was not due for the longest time, and when it last was; None if there is none."""
        return next(iter(self._asked.items()), None)

    def follow(self, name: str, at: float) -> None:
        """Take in a service that was last read, or is about to be, at this time."""
        self._asked.setdefault(name, at)

    def forget(self, name: str) -> None:
        """Let a service go: it is gone, or has a long poll of its own."""
        self._asked.pop(name, None)
        self._wanted.pop(name, None)

    def put(self, name: str, why: Why, at: float) -> None:
        """Make a service due, if it is known here; the most urgent reason counts."""
        if name not in self._asked:
            return
        self._asked[name] = at
        self._asked.move_to_end(name)
        if name in self._wanted and self._wanted[name] <= why:
            return
        self._wanted[name] = why
        if name not in self._reading:
            self._push(name, why)

    def take(self) -> tuple[str, Why] | None:
        """Give the most urgent service that is not being read, and why; it is being read until `done`."""
        while self._heap:
            why, _, name = heapq.heappop(self._heap)
            if self._wanted.get(name) is why and name not in self._reading:
                del self._wanted[name]
                self._reading.add(name)
                return name, why
        return None

    def done(self, name: str) -> None:
        """Say that a service was read, or could not be."""
        self._reading.discard(name)
        if name in self._wanted:
            self._push(name, self._wanted[name])

    def _push(self, name: str, why: Why) -> None:
        self._puts += 1
        heapq.heappush(self._heap, (why, self._puts, name))
