"""A child process that cannot outlive the test run, with its output in a file."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from xds_server.demo import leash

_ENDS_WITHIN = 15.0


class Process:
    """One process; `log` collects what it writes, over restarts as well.

    It sees the variables of `environment` only, or all of ours if that is not given.
    """

    def __init__(self, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._environment = os.environ if environment is None else environment
        self._process: asyncio.subprocess.Process | None = None

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs or before it was started."""
        return None if self._process is None else self._process.returncode

    @property
    def output(self) -> str:
        """Everything it has written."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def start(self, command: Sequence[str]) -> None:
        """Start `command` (an absolute path first) on a leash: the kernel kills it when the test run dies."""
        leashed = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command)
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *leashed,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                process_group=0,
            )

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and give the exit status; what does not end in time is killed."""
        assert self._process is not None, "it was not started"
        self.signal(number)
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                return await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self._process.wait()

    async def wait(self, within: float) -> int:
        """Wait until it ends of its own accord; give the exit status. Raises TimeoutError."""
        assert self._process is not None, "it was not started"
        async with asyncio.timeout(within):
            return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def kill(self) -> None:
        """End it the hard way, if it was started and still runs."""
        if self._process is not None:
            await self.end(signal.SIGKILL)
