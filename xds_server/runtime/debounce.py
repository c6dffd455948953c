"""When to act on changes: a lone one at once, a burst when it is over, and never later than a bound."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Two numbers of seconds: how long it has to be quiet, and the longest a change may wait."""

    quiet: float = 0.025
    at_most: float = 1.0


async def bursts(changed: asyncio.Event, pace: Pace) -> AsyncIterator[None]:
    """Yield when it is time to act on what `changed` announced.

    The first change after a quiet time yields at once. One that follows the last yield within `pace.quiet`
    begins a burst, which yields once it has been quiet that long, or after `pace.at_most`.
    """
    loop = asyncio.get_running_loop()
    acted = -inf
    while True:
        await changed.wait()
        changed.clear()
        if loop.time() - acted < pace.quiet:
            await _until_quiet(changed, pace)
        yield
        acted = loop.time()


async def _until_quiet(changed: asyncio.Event, pace: Pace) -> None:
    loop = asyncio.get_running_loop()
    latest = loop.time() + pace.at_most
    while (left := latest - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(pace.quiet, left)):
                await changed.wait()
        except TimeoutError:
            return
        changed.clear()
