"""One worker as the parent sees it: a process that is started, fed, listened to, and missed when it dies."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final

from xds_server.app.workers.channel import Channel, ClosedError
from xds_server.app.workers.coding import CodingError
from xds_server.app.workers.inputs import NOTHING, Inputs, news
from xds_server.app.workers.messages import Accept, Begin, CannotListen, Drain, Listening, Report
from xds_server.runtime.latest import Latest
from xds_server.telemetry import Event, log

_SILENCE: Final = 60.0
"""Seconds without a report, of which there is one a second, after which a worker is given up."""

_ENDS_WITHIN: Final = 5.0
"""Seconds in which a process has to end once its socket is closed or its streams have ended."""


class WorkerEndedError(ChildProcessError):
    """A worker process is gone; the sentence says how it ended."""


class CannotListenError(Exception):
    """A worker cannot open its port; the text says why, and is empty where it is taken."""


class Member:
    """One of the workers, over all its lives.

    `begin` makes what a new life is told first, `inputs` holds what it is to serve, and `heed` takes what it
    reports.
    """

    def __init__(
        self,
        begin: Callable[[], Begin],
        inputs: Latest[Inputs],
        heed: Callable[[Report], None],
        drain: float,
    ) -> None:
        self._begin = begin
        self._inputs = inputs
        self._heed = heed
        self._drain = drain
        self._channel: Channel | None = None
        self._stopping = False
        self._over = asyncio.Event()
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the first life listens, or has failed to."""
        self.pid: int | None = None
        """The process that listens; None while there is none."""

    async def run(self) -> None:
        """Start the worker and stay with it until it ends, which raises WorkerEndedError."""
        begin = self._begin()
        ours, theirs = socket.socketpair()
        with theirs:
            process = await _spawned(theirs)
        self._over.clear()
        self._channel = await Channel.over(ours)
        patience = 0.0
        try:
            await _first_end(
                self._feed(self._channel, begin), self._hear(self._channel, begin.worker, process.pid)
            )
        except (ClosedError, CodingError):
            patience = _ENDS_WITHIN
        except TimeoutError:
            # It stands still, and would not notice that its socket is closed.
            pass
        finally:
            self.pid = None
            self._channel.close()
            status = await _ended(process, patience)
            self._over.set()
        if self._stopping:
            await asyncio.Event().wait()
        raise WorkerEndedError(f"process {process.pid} ended {_told(status)}")

    async def _feed(self, channel: Channel, begin: Begin) -> None:
        """Send what is to be served; while that takes its time, only the newest is kept."""
        await channel.send(begin)
        sent = NOTHING
        async for inputs in self._inputs.values():
            for message in news(sent, inputs):
                await channel.send(message)
            sent = inputs

    async def _hear(self, channel: Channel, worker: int, pid: int) -> None:
        while True:
            async with asyncio.timeout(_SILENCE):
                message = await channel.receive()
            match message:
                case Listening(port):
                    self.pid = pid
                    log(Event.WORKER_LISTENING, worker=worker, pid=pid, port=port)
                    if not self.started.done():
                        self.started.set_result(None)
                case CannotListen(error) if not self.started.done():
                    self.started.set_exception(CannotListenError(error))
                case Report():
                    self._heed(message)

    def accept(self, hold: str | None) -> None:
        """Tell the worker that an operator releases a hold, or with None every one."""
        if self._channel is not None:
            self._channel.post(Accept(hold))

    async def drain(self) -> None:
        """Let the worker send its clients away and end, and wait until it has, or is late."""
        self._stopping = True
        if self._channel is None:
            return
        self._channel.post(Drain())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain + _ENDS_WITHIN):
                await self._over.wait()


async def _spawned(theirs: socket.socket) -> Process:
    """Start a process that holds an end of the pair; it finds the very modules that this one has."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "xds_server.app.workers",
        str(theirs.fileno()),
        stdin=DEVNULL,
        pass_fds=(theirs.fileno(),),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


async def _first_end(*runs: Coroutine[None, None, None]) -> None:
    """Run these until one of them ends, which it does with an exception; raise that.

    No TaskGroup: in Python 3.11 one whose tasks fail as it is cancelled forgets that it was cancelled.
    """
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


async def _ended(process: Process, patience: float) -> int:
    """Wait for so many seconds until a process ends by itself, then end it; give its status."""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        status = await process.wait()
    return status


def _told(status: int) -> str:
    return f"by signal {-status}" if status < 0 else f"with status {status}"
