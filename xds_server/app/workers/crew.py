"""The workers together: started, fed with what is to be served, and shown as if they were one server."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any, Final

from xds_server import telemetry
from xds_server.admin import Sources, WorkerState
from xds_server.app.workers.figures import Figures
from xds_server.app.workers.inputs import Inputs
from xds_server.app.workers.member import CannotListenError, Member
from xds_server.app.workers.messages import Begin, Report
from xds_server.app.workers.port import SharedPort
from xds_server.model.hold import Hold
from xds_server.model.policy import Policy
from xds_server.model.problem import Code, Problem
from xds_server.model.secret import Secrets
from xds_server.model.withheld import Withheld
from xds_server.runtime.control import Control
from xds_server.runtime.interest import Interest
from xds_server.runtime.latest import Latest
from xds_server.runtime.load import Loads
from xds_server.runtime.supervise import supervise
from xds_server.settings import Settings
from xds_server.transport import PortTakenError, XdsServerOptions

NAME: Final = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The parts of the parent that workers are fed from, and that what they report goes to."""

    sources: Sources
    policy: Latest[Policy]
    secrets: Latest[Secrets]
    control: Control
    interest: Interest
    loads: Loads


class Crew:
    """Serves xDS with several processes; to the rest of the parent it is a server like `XdsServer`.

    There are as many as `settings.workers` says. `options` are those of one server for all; the port and the
    share of the streams come from here.
    """

    def __init__(self, settings: Settings, options: XdsServerOptions, parent: Parent) -> None:
        self._count = settings.workers
        self._begin = Begin(
            options=options,
            pace=settings.pace,
            preflight=settings.preflight,
            envoy=settings.envoy,
            log=settings.log,
        )
        self._parent = parent
        self._inputs: Latest[Inputs] = Latest()
        self._members: tuple[Member, ...] = ()
        self._reports: dict[int, Report] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._port: SharedPort | None = None
        self._figures = Figures()
        parent.sources.registry.publish(self._figures)

    # --- its life ----------------------------------------------------------------------------------------

    async def start(self) -> int:
        """Start the workers, and wait until all listen; give the port.

        Raises PortTakenError, OSError for unreadable TLS files, and of these WorkerEndedError.
        """
        options = self._begin.options
        self._port = SharedPort(options.host, options.port)
        self._begin = replace(self._begin, options=_share(options, self._count, self._port.port))
        numbers = range(1, self._count + 1)
        self._members = tuple(
            Member(
                partial(self._first_words, number), self._inputs, partial(self._heed, number), options.drain
            )
            for number in numbers
        )
        self._tasks = [
            asyncio.create_task(supervise(NAME, partial(self._live, number, member), str(number)))
            for number, member in zip(numbers, self._members, strict=True)
        ]
        await asyncio.wait([member.started for member in self._members])
        errors = [error for member in self._members if (error := member.started.exception()) is not None]
        if errors:
            raise _start_error(errors[0], options)
        self._show()
        return self._port.port

    async def run(self) -> None:
        """Let the workers have what is to be served, for ever."""
        parent = self._parent
        cells = (parent.sources.believed, parent.policy, parent.secrets, parent.control.pinned)
        async with asyncio.TaskGroup() as tasks:
            for cell in cells:
                tasks.create_task(self._follow(cell.values()))

    async def drain(self) -> None:
        """Let all workers send their clients away and end."""
        await asyncio.gather(*(member.drain() for member in self._members))

    async def stop(self, _grace: float) -> None:
        """Be gone, and let the port go."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._port is not None:
            self._port.close()

    async def _live(self, number: int, member: Member) -> None:
        try:
            await member.run()
        except Exception as error:
            if not member.started.done():
                member.started.set_exception(error)
            raise
        finally:
            self._figures.forget(number)
            known = self._reports.get(number, Report())
            self._reports[number] = replace(known, problems=None, holds=None, streams=0)
            self._show()

    async def _follow(self, values: AsyncIterator[Any]) -> None:
        parent = self._parent
        async for _ in values:
            pinned = parent.control.pinned.value
            self._inputs.publish(
                Inputs(
                    catalog=parent.sources.believed.value,
                    policy=parent.policy.value,
                    secrets=parent.secrets.value,
                    pin=pinned[0].past if pinned else None,
                )
            )

    def _first_words(self, number: int) -> Begin:
        return replace(self._begin, worker=number, withheld=self.withheld())

    # --- what the workers tell ---------------------------------------------------------------------------

    def _heed(self, number: int, report: Report) -> None:
        parent, known = self._parent, self._reports.get(number, Report())
        self._figures.take(number, report.samples)
        for heard in report.loads:
            if heard.place is None:
                parent.loads.alive(heard.client, heard.at)
            elif heard.what is None:
                parent.loads.calm(heard.client, {heard.place}, heard.at)
            else:
                parent.loads.hear(heard.client, heard.place, heard.what, heard.at)
        parent.loads.leave_out(report.left_out)
        if report.services is not None:
            before = known.services or frozenset()
            parent.interest.change(report.services - before, before - report.services)
        self._reports[number] = _later(known, report)
        self._show()

    def _show(self) -> None:
        states = tuple(
            WorkerState(worker=number, pid=member.pid, streams=self._reports.get(number, Report()).streams)
            for number, member in enumerate(self._members, start=1)
        )
        telemetry.WORKERS.set(sum(one.pid is not None for one in states))
        self._parent.sources.workers.publish(states)

    def problems(self) -> Iterator[Problem]:
        """Tell what the workers tell, and which of them are gone."""
        for number, member in enumerate(self._members, start=1):
            if member.pid is None:
                yield Problem(
                    code=Code.WORKER_DOWN,
                    source=f"worker {number}",
                    sentence="its process is gone and is started again; its clients go to the other workers",
                )
        for report in self._reports.values():
            yield from report.problems or ()

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What the empty guards of the workers hold, once for all."""
        found = {hold.id: hold for report in self._reports.values() for hold in report.holds or ()}
        return tuple(sorted(found.values()))

    def accept(self, hold_id: str | None) -> tuple[Hold, ...]:
        """Release a hold in all workers, or with None every one; give those that are."""
        found = tuple(hold for hold in self.holds if hold_id in (None, hold.id))
        if found:
            for member in self._members:
                member.accept(hold_id)
        return found

    def withheld(self) -> tuple[Withheld, ...]:
        """Give what clients of any worker refused, once for each kind of clients."""
        told = (self._reports.get(number, Report()).withheld for number in range(1, self._count + 1))
        return _together(one for some in told for one in (self._begin.withheld if some is None else some))

    def restore(self, withheld: Iterable[Withheld]) -> None:
        """Let the workers take over what a server before this one knew."""
        self._begin = replace(self._begin, withheld=tuple(withheld))


def _share(options: XdsServerOptions, count: int, port: int) -> XdsServerOptions:
    """Give the options of one of so many workers: all together let in as many streams as one server does."""
    caps = options.limits.caps
    shared = replace(
        caps,
        streams=ceil(caps.streams / count),
        per_address=ceil(caps.per_address / count),
        per_identity=ceil(caps.per_identity / count),
    )
    return replace(options, port=port, shared=True, limits=replace(options.limits, caps=shared))


def _start_error(error: BaseException, options: XdsServerOptions) -> BaseException:
    """Give what `XdsServer.start` would raise."""
    if not isinstance(error, CannotListenError):
        return error
    return OSError(str(error)) if str(error) else PortTakenError(f"{options.host}:{options.port}")


def _later(known: Report, report: Report) -> Report:
    """Give what is known of a worker after a report; of None it is what it was."""
    return replace(
        known,
        problems=known.problems if report.problems is None else report.problems,
        holds=known.holds if report.holds is None else report.holds,
        withheld=known.withheld if report.withheld is None else report.withheld,
        services=known.services if report.services is None else report.services,
        streams=report.streams,
    )


def _together(withheld: Iterable[Withheld]) -> tuple[Withheld, ...]:
    """Put together what several processes know of the same kind of clients."""
    found: dict[tuple[object, str], Withheld] = {}
    for one in withheld:
        key = one.group, one.agent
        known = found.get(key, replace(one, refused=(), kept=()))
        refused = {(each.type, each.name): each for each in (*one.refused, *known.refused)}
        kept = {(each.type, each.name): each for each in (*one.kept, *known.kept)}
        found[key] = replace(known, refused=tuple(refused.values()), kept=tuple(kept.values()))
    return tuple(found.values())
