"""SIGHUP: read the settings again, as Consul's own agent does; it ends nothing.

A changed settings file is noticed without it (`file_changes`); the signal is for file systems that do not
tell, and for service managers whose "reload" it is (`systemctl reload`).
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable


async def hangups() -> AsyncIterator[None]:
    """Give each SIGHUP from now on; several at once are one."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, told.set)
    try:
        while True:
            await told.wait()
            told.clear()
            yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def each(happenings: AsyncIterator[object], act: Callable[[], Awaitable[None]]) -> None:
    """Act on each of the happenings, one after the other."""
    async for _ in happenings:
        await act()
