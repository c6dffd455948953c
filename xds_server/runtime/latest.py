"""A one-slot cell: a reader always sees the newest value, and never delays the writer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds the latest value of something that changes; there is no backlog.

    `publish` never waits. A reader that is slow skips the values in between. Publishing a value equal to
    the held one is a no-op, so a writer need not remember what it said.
    """

    __slots__ = ("_changed", "_value")

    def __init__(self, value: T | None = None) -> None:
        self._value = value
        self._changed: asyncio.Event | None = None
        """What the readers wait for; there is one as long as any does."""

    @property
    def value(self) -> T | None:
        """The newest value; None before the first."""
        return self._value

    def publish(self, value: T) -> bool:
        """Put `value` in the slot and wake the readers; tell whether it differed from the held one."""
        if value is self._value or value == self._value:
            return False
        self._value = value
        if self._changed is not None:
            changed, self._changed = self._changed, None
            changed.set()
        return True

    def _change(self) -> asyncio.Event:
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed

    async def get(self) -> T:
        """Give the newest value, waiting for the first one if there is none yet."""
        while self._value is None:
            await self._change().wait()
        return self._value

    async def values(self) -> AsyncIterator[T]:
        """Yield the newest value at once (if there is one), and then again each time it has changed."""
        seen: T | None = None
        while True:
            changed = self._change()
            value = self._value
            if value is not None and value is not seen:
                seen = value
                yield value
            else:
                await changed.wait()
