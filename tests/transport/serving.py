"""The real server on a free port, fed by cells of the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.runtime.inputs import Inputs
from xds_server.transport import StreamLimits, TlsFiles, XdsServer, XdsServerOptions


class Serving:
    """A server that runs, its port, and what it is fed with."""

    def __init__(self, inputs: Inputs, server: XdsServer, port: int) -> None:
        self.inputs = inputs
        self.server = server
        self.port = port


@contextlib.asynccontextmanager
async def serving(
    inputs: Inputs, *, limits: StreamLimits | None = None, tls: TlsFiles | None = None
) -> AsyncIterator[Serving]:
    """Serve for as long as the context is open."""
    options = XdsServerOptions(
        host="127.0.0.1", port=0, identifier="test", limits=limits or StreamLimits(), tls=tls
    )
    server = XdsServer(inputs.pipeline, options)
    port = await server.start()
    tasks = [asyncio.create_task(inputs.pipeline.run()), asyncio.create_task(server.run())]
    try:
        yield Serving(inputs, server, port)
    finally:
        for task in tasks:
            task.cancel()
        await server.stop(0.1)
