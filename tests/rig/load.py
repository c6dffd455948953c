"""Requests without end, on loopback, each answer recorded.

async with Load("http://127.0.0.1:10000/", host="user") as load:
    ...
    await load.more(500)
assert not load.failures
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: when it was asked (loop time), how long it took, what it said; status 0: none came."""

    at: float
    seconds: float
    status: int
    body: str


class Load:
    """Asks one URL from `workers` tasks, each with `pause` seconds between its requests, until stopped.

    With `fresh` every request has a connection of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        host: str,
        workers: int = 4,
        pause: float = 0.002,
        tls: ssl.SSLContext | None = None,
        fresh: bool = False,
    ) -> None:
        assert (URL(url).host or "").startswith("127."), "test traffic stays on loopback"
        self.answers: list[Answer] = []
        self._url = url
        self._host = host
        self._workers = workers
        self._pause = pause
        self._tls = tls
        self._fresh = fresh
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def failures(self) -> list[Answer]:
        """Every answer that is not 200."""
        return [answer for answer in self.answers if answer.status != 200]

    def bodies(self) -> Counter[str]:
        """Count the good answers by who gave them."""
        return Counter(answer.body for answer in self.answers if answer.status == 200)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Ask no more, and wait for what was asked; doing it twice is harmless."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int, *, within: float = 60.0) -> list[Answer]:
        """Wait until so many more answers have come, and give them (and what came with them)."""
        start = len(self.answers)
        await self.until(lambda: len(self.answers) >= start + count, within=within)
        return self.answers[start:]

    async def until(self, fact: Callable[[], bool], *, within: float = 10.0) -> None:
        """Wait until a fact is true. Raises AssertionError."""
        deadline = asyncio.get_running_loop().time() + within
        while not fact():
            assert asyncio.get_running_loop().time() < deadline, (
                f"not so within {within:g} s: {self.bodies()}"
            )
            await asyncio.sleep(0.005)

    async def _work(self) -> None:
        connector = aiohttp.TCPConnector(limit=1, force_close=self._fresh, ssl=self._tls or True)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while not self._stopping:
                self.answers.append(await _ask(session, self._url, self._host))
                await asyncio.sleep(self._pause)


async def ask(url: str, *, host: str, tls: ssl.SSLContext | None = None) -> Answer:
    """Ask once, over a connection of its own."""
    connector = aiohttp.TCPConnector(force_close=True, ssl=tls or True)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        return await _ask(session, url, host)


async def _ask(session: aiohttp.ClientSession, url: str, host: str) -> Answer:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with session.get(url, headers={"Host": host}) as answer:
            status, body = answer.status, await answer.text()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        status, body = 0, repr(error)
    return Answer(started, loop.time() - started, status, body)
