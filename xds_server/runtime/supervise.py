"""Keeps a task running that is meant to run for ever: after a failure it begins anew, later each time."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from xds_server import telemetry
from xds_server.telemetry import Event, log

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
_CALM: Final = 60.0


async def supervise(name: str, run: Callable[[], Awaitable[None]], about: str = "") -> None:
    """Await `run()` for ever, again after each exception, with a jittered pause that doubles up to 30 s.

    A run that lasted a minute before it failed starts over with the shortest pause. `name` is one of a few;
    what tells tasks of the same name apart, like a service, is `about`.
    """
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE
    while True:
        started = loop.time()
        try:
            await run()
            _report(name, about, "the task ended, which it never should")
        except Exception as error:  # noqa: BLE001 - whatever it is, the last good state goes on being served
            _report(name, about, repr(error), trace=True)
        if loop.time() - started > _CALM:
            pause = _FIRST_PAUSE
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        pause = min(2 * pause, _LONGEST_PAUSE)


def _report(name: str, about: str, error: str, *, trace: bool = False) -> None:
    telemetry.TASK_FAILURES.labels(name).inc()
    log(Event.TASK_FAILED, logging.ERROR, task=f"{name} {about}".rstrip(), error=error, exc_info=trace)


def report_unawaited(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop tell of what fails where nobody waits for it: in callbacks, and in lost tasks.

    Of the context only the exception and the name of the task are told: the rest may show arguments.
    Source: Python's asyncio, "Error Handling API" (`loop.set_exception_handler`).
    """
    loop.set_exception_handler(_unawaited)


def _unawaited(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error: BaseException | None = context.get("exception")
    task: asyncio.Future[Any] | None = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else "callback"
    telemetry.TASK_FAILURES.labels("unawaited").inc()
    log(
        Event.TASK_FAILED,
        logging.ERROR,
        task=f"unawaited {name}",
        error=repr(error) if error is not None else str(context.get("message", "")),
        exc_info=error or False,
    )
