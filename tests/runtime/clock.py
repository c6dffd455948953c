"""An event loop whose time passes only while nothing else is to do: an hour of waiting takes no time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """Instead of sleeping until the next timer it moves its clock there."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._wait = self._selector.select
        self._selector.select = self._skip

    def time(self) -> float:
        return self._now

    def _skip(self, timeout: float | None = None) -> Any:
        ready = self._wait(0 if timeout is not None else None)
        if not ready and timeout:
            self._now += timeout
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a time of its own, which begins at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
