"""Waiting on facts: ask again and again until it is so, and say what was seen if it never was."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def eventually(
    ask: Callable[[], T | Awaitable[T]],
    is_so: Callable[[T], Any] = bool,
    *,
    within: float = 5.0,
    every: float = 0.02,
) -> T:
    """Give the first value of `ask` that `is_so` accepts; an exception counts as "not yet".

    Raises AssertionError with the last value or exception if it has not come `within` so many seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        try:
            answer = ask()
            value: T = await answer if inspect.isawaitable(answer) else answer
            if is_so(value):
                return value
            seen = f"the last value was {value!r}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it may be over in a moment
            seen = f"the last try ended with {error!r}"
        if loop.time() > deadline:
            raise AssertionError(f"not so within {within:g} s; {seen:.2000}")
        await asyncio.sleep(every)
