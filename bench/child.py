"""A process under the orchestrator: JSON lines to it and from it, and what it costs as the kernel counts it.

A command is an object with `do` and an `id`; the answer is an object with `event`, and the same `id` where
the command has one. Whoever starts a child gives it a limit for each answer, so that nothing waits for
ever.
"""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from xds_server.demo import leash

PATIENCE: Final = 60.0
"""Seconds for an answer, where the caller says nothing else."""

_LINE: Final = 2**26
_TOLD: Final = 400
"""How many characters of what a child said last are told when it fails."""

_CPU_CLOCK: Final = 2
"""The clock of a process's CPU time (`man 3 clock_getcpuclockid`: the pid, inverted, above these bits)."""

_ROOT: Final = Path(__file__).parents[1]

Event = dict[str, Any]


class ChildError(Exception):
    """A child died, said that it failed, or did not answer in time; the sentence has its last words."""


class Child:
    """One process. `name` is what it is called in the figures; it has our environment if none is given.

    async with Child("xds-server", [sys.executable, "-m", "bench.target"]) as child:
        await child.event("listening")
        await child.ask("catalog", "built", services=10, instances=2)
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.pid = 0
        self._command = command
        self._environment = environment
        self._numbers = itertools.count(1)
        self._unread: deque[Event] = deque(maxlen=10_000)
        self._news = asyncio.Event()
        self._words: deque[str] = deque(maxlen=50)
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start it on a leash: it dies with this process."""
        leashed = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *self._command)
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *leashed, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LINE, cwd=_ROOT, env=self._environment
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        self._tasks = [
            asyncio.create_task(self._read(self._process.stdout)),
            asyncio.create_task(self._listen(self._process.stderr)),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it the hard way: what it holds is of no use to anybody."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- talking ---------------------------------------------------------------------------------------

    async def ask(self, do: str, answer: str, *, within: float = PATIENCE, **fields: Any) -> Event:
        """Send a command and give the answer of that name to it. Raises ChildError."""
        number = await self.tell(do, **fields)
        return await self.event(answer, number=number, within=within)

    async def tell(self, do: str, **fields: Any) -> int:
        """Send a command; give its number, for `event`. Raises ChildError where it is gone."""
        number = next(self._numbers)
        assert self._process is not None  # noqa: S101 - it was started
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(json.dumps({"do": do, "id": number, **fields}).encode() + b"\n")
            await self._process.stdin.drain()
        except OSError as error:
            raise ChildError(self._sentence(f"it is gone: {error}")) from None
        return number

    async def event(self, name: str, *, number: int | None = None, within: float = PATIENCE) -> Event:
        """Give the next event of a name, and of a command if its number is given. Raises ChildError."""
        try:
            async with asyncio.timeout(within):
                while (found := self._take(name, number)) is None:
                    if self._process is None or self._process.returncode is not None:
                        raise ChildError(self._sentence(f"it ended before it said {name!r}"))
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise ChildError(self._sentence(f"no {name!r} within {within:g} s")) from None
        return found

    def drop(self, name: str) -> None:
        """Forget the events of a name that nobody has waited for."""
        kept = [event for event in self._unread if event.get("event") != name]
        self._unread.clear()
        self._unread.extend(kept)

    def _take(self, name: str, number: int | None) -> Event | None:
        for event in self._unread:
            if event.get("event") in ("error", "lost", "given up"):
                raise ChildError(self._sentence(f"it says: {event}"))
            if event.get("event") == name and number in (None, event.get("id", number)):
                self._unread.remove(event)
                return event
        return None

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        async for line in stdout:
            try:
                self._unread.append(json.loads(line))
            except ValueError:
                self._words.append(line.decode(errors="replace"))
            self._news.set()
        assert self._process is not None  # noqa: S101 - it was started
        await self._process.wait()
        self._news.set()

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        async for line in stderr:
            self._words.append(line.decode(errors="replace"))

    def _sentence(self, what: str) -> str:
        words = "".join(self._words)[-_TOLD:].strip()
        return f"{self.name}: {what}" + (f"; its last words: {words}" if words else "")

    # --- its costs -------------------------------------------------------------------------------------

    @property
    def cpu(self) -> float:
        """The seconds of processor time it has had, all threads, user and kernel."""
        return time.clock_gettime(~self.pid << 3 | _CPU_CLOCK)

    @property
    def rss(self) -> int:
        """The bytes of it that are resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
