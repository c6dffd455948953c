"""The real server on a free port, fed by cells of the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.runtime.inputs import Inputs
from xds_server import telemetry
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


def sample(name: str, **labels: str) -> float:
    """Give the value of a metric, 0 where it has none yet."""
    return telemetry.REGISTRY.get_sample_value(name, labels) or 0.0


def streams(variant: str) -> float:
    """Give how many streams of a variant are open, as the metric has it."""
    return sample("xds_streams", variant=variant.split(maxsplit=1)[0])
