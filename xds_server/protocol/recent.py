"""What was made for one stream a moment ago, for the next one in the same state."""

from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

MOST: Final = 256
"""Results that are kept: what is told to one stream at one moment alone would take all the room there is."""


class Recent(Generic[T]):
    """The last results of something costly, by the identity of what they were made of.

    Streams are mostly told the same thing, one right after the other, so that a few are enough; what is kept
    is worth at most `room` (in units of its maker), but for the newest, and never more than `MOST`.
    """

    def __init__(self, room: int) -> None:
        self._room: Final = room
        self._taken = 0
        # The objects are kept too: so long nothing else has their identity.
        self._found: dict[tuple[Any, ...], tuple[T, int, object]] = {}

    def get(self, key: tuple[Any, ...]) -> T | None:
        """Give what was made for a key, if it is still known."""
        found = self._found.get(key)
        return None if found is None else found[0]

    def put(self, key: tuple[Any, ...], made: T, size: int, of: object = None) -> T:
        """Remember what was made; give it. `of` are the objects whose ids are in the key."""
        self._drop(key)
        while self._found and (self._taken + size > self._room or len(self._found) >= MOST):
            self._drop(next(iter(self._found)))
        self._found[key] = made, size, of
        self._taken += size
        return made

    def values(self) -> tuple[T, ...]:
        """Give all that is known, the newest first."""
        return tuple(found[0] for found in reversed(self._found.values()))

    def _drop(self, key: tuple[Any, ...]) -> None:
        if key in self._found:
            self._taken -= self._found.pop(key)[1]
