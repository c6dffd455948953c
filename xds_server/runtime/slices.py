"""Long work on the event loop, cut into slices: between two of them everything else has its turn."""

import asyncio
import time
from typing import Final, TypeVar

from xds_server.model.steps import Steps

T = TypeVar("T")

_SLICE: Final = 0.01
"""Seconds that are worked in one go: a stream that waits for the loop waits about so long."""


async def in_slices(steps: Steps[T]) -> T:
    """Do all steps, a few at a time; give what comes of them."""
    until = time.perf_counter() + _SLICE
    while True:
        try:
            next(steps)
        except StopIteration as done:
            value: T = done.value
            return value
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + _SLICE
