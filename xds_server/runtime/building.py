"""Builds lines one after the other, and tries again what failed."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from xds_server import telemetry
from xds_server.runtime.line import Inputs, Line
from xds_server.runtime.slices import in_slices
from xds_server.runtime.standing import Standing
from xds_server.telemetry import Event, log
from xds_server.translate import Known, Understanding

Built: TypeAlias = Callable[[Line, Inputs, bool], None]
"""Is told of a line that was built, what of, and whether its snapshot is another one than before."""

_RETRY: Final = 0.5
"""Seconds after which a build that failed is tried again; twice as many each time."""

_LATEST_RETRY: Final = 60.0

_MOST_DOUBLINGS: Final = 10


class Builder:
    """Builds lines of what `inputs` gives at the moment each has its turn; None while something is missing.

    `again` is called when a line that failed should be built once more.
    """

    def __init__(self, inputs: Callable[[], Inputs | None], again: Callable[[], None]) -> None:
        self.understanding = Understanding()
        self._inputs = inputs
        self._again = again
        self.lines = Standing()
        self._lock = asyncio.Lock()
        """Held while anything is built: what was made last is shared, and has one writer."""

    async def build(self, only: Line | None, built: Built) -> None:
        """Build one line, or all that have streams, as far as they are behind."""
        async with self._lock:
            inputs = self._inputs()
            known = None if inputs is None else await self._known(inputs)
            if inputs is not None:
                self.lines.move(inputs, known)
            for line in [one for one in self.lines.alone if one.open] if only is None else [only]:
                if inputs is not None and inputs.same(line.tried):
                    line.end_round(line.tried)
                elif inputs is None or known is None or not line.passes(inputs, known):
                    await self._build(line, built)
                self.lines.take(line)

    async def _known(self, inputs: Inputs) -> Known | None:
        """Give what all groups have in common; None where a bug is in the way, which each will tell of."""
        try:
            return await in_slices(self.understanding.known(inputs.catalog, inputs.policy, inputs.secrets))
        except Exception:  # noqa: BLE001 - it is met again where it is dealt with
            return None

    async def _build(self, line: Line, built: Built) -> None:
        inputs = self._inputs()
        if inputs is None or inputs.same(line.tried):
            line.end_round(line.tried)
            return

        started = time.perf_counter()

        def wanted() -> bool:
            # What an operator has just frozen must not change once more by what was under way.
            now = self._inputs()
            return now is not None and now.pin is inputs.pin

        try:
            differs = await line.build(inputs, wanted)
        except Exception as error:  # noqa: BLE001 - a bug here must leave the last good snapshot in force
            telemetry.SNAPSHOT_BUILDS.labels("failed").inc()
            log(Event.SNAPSHOT_FAILED, logging.ERROR, error=repr(error), exc_info=True)
            self._try_again(line)
            return
        finally:
            line.end_round(inputs if wanted() else None)
        line.succeeded(inputs)
        telemetry.SNAPSHOT_BUILDS.labels("published" if differs else "unchanged").inc()
        if differs:
            telemetry.SNAPSHOT_SECONDS.observe(time.perf_counter() - started)
        if wanted():
            built(line, inputs, differs)

    def _try_again(self, line: Line) -> None:
        """Build from the same inputs again, later each time: what failed once may not fail for ever."""

        def again() -> None:
            line.again()
            self._again()

        if line.retry is not None:
            line.retry.cancel()
        pause = min(_RETRY * 2 ** min(line.failures, _MOST_DOUBLINGS), _LATEST_RETRY)
        line.failures += 1
        line.retry = asyncio.get_running_loop().call_later(pause, again)
