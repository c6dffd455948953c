"""Keeps a task running that is meant to run for ever: after a failure it begins anew, later each time."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from xds_server.telemetry import Event, log

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
_CALM: Final = 60.0


async def supervise(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Await `run()` for ever, again after each exception, with a jittered pause that doubles up to 30 s.

    A run that lasted a minute before it failed starts over with the shortest pause.
    """
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE
    while True:
        started = loop.time()
        try:
            await run()
            log(Event.TASK_FAILED, logging.ERROR, task=name, error="the task ended, which it never should")
        except Exception as error:  # noqa: BLE001 - whatever it is, the last good state goes on being served
            log(Event.TASK_FAILED, logging.ERROR, task=name, error=repr(error), exc_info=True)
        if loop.time() - started > _CALM:
            pause = _FIRST_PAUSE
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        pause = min(2 * pause, _LONGEST_PAUSE)
