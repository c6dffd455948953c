"""A worker: makes snapshots of what the parent sends, serves streams, and tells the parent what it sees.

parent --Inputs--> pipeline --Latest[Snapshot]--> streams --> Envoys
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

from xds_server.app.descriptors import Descriptors, raise_limit
from xds_server.app.workers.channel import Channel, ClosedError
from xds_server.app.workers.inputs import Inputs, Receiver
from xds_server.app.workers.messages import Accept, Begin, CannotListen, Drain, Listening
from xds_server.app.workers.report import LoadsForParent, Reporter
from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy
from xds_server.model.secret import Secrets
from xds_server.preflight import EnvoyCheck
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.garbage import Collections
from xds_server.runtime.lag import LoopLag
from xds_server.runtime.latest import Latest
from xds_server.runtime.pipeline import Pipeline
from xds_server.runtime.supervise import report_unawaited, supervise
from xds_server.runtime.truth import TruthMonitor
from xds_server.runtime.vetting import Preflight
from xds_server.telemetry import configure_logging
from xds_server.transport import PortTakenError, XdsServer

_Part: TypeAlias = Callable[[], Awaitable[None]]

_GRACE: Final = 2.0
"""Seconds that connections have after the streams have ended."""

_NOT_FOR_US: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal or a service manager sends to all processes at once; the parent says what to do."""


async def work(end: socket.socket) -> None:
    """Serve until the parent says so, or is gone. `end` is our end of the pair of sockets."""
    for number in _NOT_FOR_US:
        signal.signal(number, signal.SIG_IGN)
    channel = await Channel.over(end)
    begin: Begin = await channel.receive()
    configure_logging(level=begin.log.level, form=begin.log.form)
    _sign_log(begin.worker)
    report_unawaited(asyncio.get_running_loop())
    worker = _Worker(begin, channel)
    try:
        if await worker.listen():
            await worker.serve()
    except ClosedError:
        # The parent is gone.
        return
    finally:
        await worker.stop()


class _Worker:
    """The parts of a worker put together."""

    def __init__(self, begin: Begin, channel: Channel) -> None:
        self._channel = channel
        self._believed, self._policy, self._secrets = Latest[Catalog](), Latest[Policy](), Latest[Secrets]()
        preflight = None if begin.preflight is Preflight.OFF else (begin.preflight, EnvoyCheck(begin.envoy))
        self._pipeline = Pipeline(self._believed, self._policy, self._secrets, begin.pace, preflight)
        self._pipeline.restore(begin.withheld)
        fleet, loads = Fleet(), LoadsForParent()
        truth = TruthMonitor(fleet, lambda: self._pipeline.behind)
        self._pipeline.others.append(truth.problems)
        self._xds = XdsServer(self._pipeline, fleet, loads, begin.options)
        self._parts: dict[str, _Part] = {
            "pipeline": self._pipeline.run,
            "descriptors": Descriptors(raise_limit()).run,
            "loop lag": LoopLag().run,
            "collections": Collections().run,
            "truth": truth.run,
            "xds": self._xds.run,
            "report": Reporter(channel, self._pipeline, fleet, loads).run,
        }

    async def listen(self) -> bool:
        """Open the port, and tell the parent what came of it; tell whether it is open."""
        try:
            port = await self._xds.start()
        except PortTakenError:
            await self._channel.send(CannotListen())
            return False
        except OSError as error:
            await self._channel.send(CannotListen(str(error)))
            return False
        await self._channel.send(Listening(port))
        return True

    async def serve(self) -> None:
        """Serve until it is time to stop; then send the clients away."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(supervise(name, run)) for name, run in self._parts.items()]
            with suppress(ClosedError):
                await self._follow()
            await self._xds.drain()
            for task in running:
                task.cancel()

    async def stop(self) -> None:
        """Close what is open."""
        await self._xds.stop(_GRACE)
        self._channel.close()

    async def _follow(self) -> None:
        """Do what the parent says until it says that it is over. Raises ClosedError where it is gone."""
        receiver = Receiver()
        while True:
            match await self._channel.receive():
                case Drain():
                    return
                case Accept(hold):
                    self._pipeline.accept(hold)
                case message:
                    if (inputs := receiver.take(message)) is not None:
                        self._take(inputs)

    def _take(self, inputs: Inputs) -> None:
        """Let the pipeline have all of it before it runs again."""
        if inputs.pin is not self._pipeline.pinned:
            self._pipeline.pin(inputs.pin)
        if inputs.policy is not None:
            self._policy.publish(inputs.policy)
        if inputs.secrets is not None:
            self._secrets.publish(inputs.secrets)
        if inputs.catalog is not None:
            self._believed.publish(inputs.catalog)


def _sign_log(worker: int) -> None:
    """Let every line of the log say which worker wrote it."""

    def sign(record: logging.LogRecord) -> bool:
        record.fields = {"worker": worker, **getattr(record, "fields", {})}
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(sign)
