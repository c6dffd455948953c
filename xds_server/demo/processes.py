"""Child processes that live and die together.

    async with ProcessGroup(directory) as group:
        child = await group.start("consul", ("/usr/bin/consul", "agent", "-dev"))
        ...
        dead = await group.first_death()

Each leads a process group of its own, apart from the terminal's, so Ctrl-C reaches the demo alone and the
demo ends them in its own way: terminate, then kill after `GRACE` seconds, each with what it started itself.
On Linux the kernel kills each as soon as the demo is gone, however it went (`leash.py`).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

GRACE: Final = 3.0
_LEASH: Final = Path(__file__).with_name("leash.py")
_TAIL_LINES: Final = 15


class Child:
    """One process: its name, its pid, the file its output goes to, and whether it is meant to end."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, *, may_end: bool) -> None:
        self.name = name
        self.log = log
        self.may_end = may_end
        self._process = process
        self.ended: asyncio.Task[int] = asyncio.create_task(process.wait(), name=f"wait for {name}")

    @property
    def pid(self) -> int:
        """The pid, the same before and after the process became its command."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._process.returncode

    def tail(self) -> str:
        """Give the last lines the process wrote."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        return ""


class ProcessGroup:
    """The processes of one demo, their output under `directory`, the variables they see in `environment`."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._environment = dict(os.environ if environment is None else environment)
        self._children: list[Child] = []
        self._grew = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(
        self, name: str, command: Sequence[str], *, output: Path | None = None, may_end: bool = False
    ) -> Child:
        """Start one process; what it says goes to `<name>.log`, its standard output to `output` if given.

        `command` begins with an absolute path. `may_end` is for a process whose end is no accident as long as
        it exits with 0.
        """
        log = self._directory / f"{name}.log"
        leashed = (sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command)
        with log.open("wb") as said, (output or log).open("wb") as data:
            process = await asyncio.create_subprocess_exec(
                *leashed,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=data if output else said,
                stderr=said,
                cwd=self._directory,
                env=self._environment,
                process_group=0,
            )
        child = Child(name, process, log, may_end=may_end)
        self._children.append(child)
        self._grew.set()
        return child

    async def first_death(self) -> Child:
        """Wait until a process ends that was not meant to, or ends badly, and give it."""
        while True:
            for child in self._children:
                if child.returncode is not None and not (child.may_end and child.returncode == 0):
                    return child
            self._grew.clear()
            grew = asyncio.create_task(self._grew.wait())
            running = {child.ended for child in self._children if not child.ended.done()}
            try:
                await asyncio.wait({grew, *running}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                grew.cancel()

    async def stop(self) -> None:
        """End every process: terminate, and kill what is left after `GRACE` seconds."""
        # The number of one that has ended may be another process's by now.
        running = [child for child in self._children if child.returncode is None]
        if not running:
            return
        _signal(running, signal.SIGTERM)
        waits = [child.ended for child in running]
        await asyncio.wait(waits, timeout=GRACE)
        # All of them: a command may have been a script that ended before what it started.
        _signal(running, signal.SIGKILL)
        await asyncio.wait(waits)


def _signal(children: Sequence[Child], number: signal.Signals) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
