"""Who looks at the server must not slow it down: what is costly to show is shown at a fifth of the time.

Everything is in one event loop. A page that takes 5 ms to write, asked for by twenty clients without a pause,
would leave no time for the streams.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_REST: Final = 4.0
"""How many times as long as an answer took the next one has to wait, if it comes at once."""

_MOST_WAITING: Final = 100


def courtesy(costly: Collection[str]) -> Middleware:
    """Give a middleware that serves requests for these paths one by one, with rests in between.

    A request that finds a hundred waiting is answered 503. All other paths are served at once.
    """
    queue = _Queue()

    @web.middleware
    async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in costly:
            return await handler(request)
        if queue.waiting >= _MOST_WAITING:
            return web.Response(status=503, text="too many requests at once; ask less often\n")
        async with queue:
            return await handler(request)

    return wait


class _Queue:
    """One at a time, in the order they came."""

    def __init__(self) -> None:
        self.waiting = 0
        self._turn = asyncio.Lock()
        self._began = 0.0
        self._rested = 0.0

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self.waiting += 1
        try:
            await self._turn.acquire()
            try:
                await asyncio.sleep(max(0.0, self._rested - loop.time()))
            except asyncio.CancelledError:
                self._turn.release()
                raise
        finally:
            self.waiting -= 1
        self._began = loop.time()

    async def __aexit__(self, *_: object) -> None:
        now = asyncio.get_running_loop().time()
        self._rested = now + _REST * (now - self._began)
        self._turn.release()
