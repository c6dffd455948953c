"""The real server on a free port, fed by cells of the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.runtime.inputs import Inputs
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.load import Loads
from xds_server.transport import StreamLimits, XdsServer, XdsServerOptions


class Serving:
    """A server that runs, its port, what it is fed with, and what it notes of its clients."""

    def __init__(self, inputs: Inputs, options: XdsServerOptions) -> None:
        self.inputs = inputs
        self.fleet = Fleet()
        self.loads = Loads()
        self.server = XdsServer(inputs.pipeline, self.fleet, self.loads, options)
        self.port = 0


@contextlib.asynccontextmanager
async def serving(
    inputs: Inputs, *, limits: StreamLimits | None = None, **options: Any
) -> AsyncIterator[Serving]:
    """Serve for as long as the context is open; `options` are those of `XdsServerOptions`."""
    made = XdsServerOptions(
        host="127.0.0.1", port=0, identifier="test", limits=limits or StreamLimits(), **options
    )
    running = Serving(inputs, made)
    running.port = await running.server.start()
    tasks = [asyncio.create_task(inputs.pipeline.run()), asyncio.create_task(running.server.run())]
    try:
        yield running
    finally:
        for task in tasks:
            task.cancel()
        await running.server.stop(0.1)
