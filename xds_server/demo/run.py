"""The demo from the first check to the last process: check, plan, start, tell, wait, end.

Whatever ends it (Ctrl-C, a signal, a part that dies), `ProcessGroup` takes every process down. The directory
with their output stays only when something went wrong.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console

import xds_server
from xds_server.demo import ports, story
from xds_server.demo.binaries import find_consul, find_envoy, opens_grpc_tls
from xds_server.demo.errors import DemoError
from xds_server.demo.processes import Child, ProcessGroup
from xds_server.demo.story import Answer, DemoOptions, DemoService, Plan, Step
from xds_server.demo.text import Voice, failure

STEP_SECONDS: Final = 30.0
_LOOK_EVERY: Final = 0.03
_WAYS_OUT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NO_CONSUL: Final = (
    "No Consul was found in $CONSUL_BIN, on PATH or under .tools, so the catalog comes from a file "
    "(run `make setup` in a checkout to get one)."
)


def run_demo(options: DemoOptions, console: Console) -> None:
    """Run the demo until Ctrl-C, SIGTERM or SIGHUP; with `options.once` only until requests were answered.

    Raises PortsTakenError before anything was started, DemoError if a binary is missing or a part fails.
    """
    asyncio.run(_run(options, Voice(console)))


async def _run(options: DemoOptions, voice: Voice) -> None:
    started = time.monotonic()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for way in _WAYS_OUT:
        loop.add_signal_handler(way, asked.set)
    plan = _decide(options, voice)
    async with ProcessGroup(plan.directory, _environment()) as group:
        await _perform(plan, group, voice, asked, started)
    # Reached only when nothing went wrong: otherwise the output in it is wanted.
    shutil.rmtree(plan.directory, ignore_errors=True)


def _decide(options: DemoOptions, voice: Voice) -> Plan:
    """Check what has to be checked before anything starts, and write the files of the demo."""
    consul = find_consul() if options.use_consul else None
    if options.use_consul and consul is None:
        voice.line(_NO_CONSUL, "yellow")
    envoy = find_envoy()
    ports.check_free(story.typed_ports(options, with_consul=consul is not None))
    closes_grpc_tls = consul is not None and opens_grpc_tls(consul)
    picked = ports.pick_free(2 + len(story.INSTANCES))
    services = tuple(
        DemoService(name=name, id=instance, weight=weight, port=port)
        for (name, instance, weight), port in zip(story.INSTANCES, picked[2:], strict=True)
    )
    plan = Plan(
        options=options,
        directory=Path(tempfile.mkdtemp(prefix="xds-server-demo-")),
        envoy=envoy.resolve(),
        consul=consul.resolve() if consul else None,
        consul_closes_grpc_tls=closes_grpc_tls,
        services=services,
        consul_inner_ports=(picked[0], picked[1]),
    )
    (plan.directory / story.SETTINGS_FILE).write_text(story.settings_text(plan))
    if plan.consul is None:
        (plan.directory / story.CATALOG_FILE).write_text(story.catalog_text(plan))
    return plan


async def _perform(
    plan: Plan, group: ProcessGroup, voice: Voice, asked: asyncio.Event, started: float
) -> None:
    """Start everything, tell what runs, and wait for an end; a part that dies is the demo's end too."""
    options = plan.options
    death = asyncio.create_task(group.first_death(), name="first death")
    leave = asyncio.create_task(asked.wait(), name="asked to leave")
    start = asyncio.create_task(_start(plan, group, voice, started), name="start")
    try:
        await asyncio.wait({start, death, leave}, return_when=asyncio.FIRST_COMPLETED)
        if start.done() and not death.done():
            start.result()
            voice.ready(plan, time.monotonic() - started)
            if options.once:
                return
            voice.way_out()
            await asyncio.wait({death, leave}, return_when=asyncio.FIRST_COMPLETED)
        if death.done() and not leave.done():
            raise _died(death.result(), plan)
        if options.once:
            raise DemoError(f"The demo was ended before requests were answered; see {plan.directory}.")
    finally:
        for task in (start, death, leave):
            task.cancel()
        await asyncio.gather(start, death, leave, return_exceptions=True)


async def _start(plan: Plan, group: ProcessGroup, voice: Voice, started: float) -> None:
    """Start every row of the table as soon as the rows before it are up."""
    table = story.steps(plan)
    up = {step.name: asyncio.Event() for step in table}

    async def play(step: Step) -> None:
        for name in step.after:
            await up[name].wait()
        child = (
            await group.start(step.name, step.command, output=step.output, may_end=step.answer is None)
            if step.command
            else None
        )
        try:
            await asyncio.wait_for(_until_up(step, child, session), STEP_SECONDS)
        except TimeoutError:
            raise _late(step, child, plan) from None
        up[step.name].set()
        voice.up(step.says, time.monotonic() - started)

    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for step in table:
                tasks.create_task(play(step), name=step.name)
    except* DemoError as errors:
        raise errors.exceptions[0] from None


async def _until_up(step: Step, child: Child | None, session: aiohttp.ClientSession) -> None:
    if step.answer is not None:
        # Other processes can only be asked again and again.
        while not await _answers(step.answer, session):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)
    elif child is not None and await asyncio.shield(child.ended) != 0:
        # The death is what is told about, by `_perform`.
        await asyncio.Event().wait()


async def _answers(answer: Answer, session: aiohttp.ClientSession) -> bool:
    headers = {"Host": answer.host} if answer.host else {}
    try:
        async with session.get(answer.url, headers=headers) as response:
            return response.status == HTTPStatus.OK and answer.contains in await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return False


def _died(child: Child, plan: Plan) -> DemoError:
    code = child.returncode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    return DemoError(failure(f"{child.name} {how}, so the demo ended.", child.tail(), plan.directory))


def _late(step: Step, child: Child | None, plan: Plan) -> DemoError:
    what = f"{step.name} was not up within {STEP_SECONDS:.0f} s, so the demo ended."
    return DemoError(failure(what, child.tail() if child else "", plan.directory))


def _environment() -> dict[str, str]:
    """Give the variables the parts see: none that would point one of them elsewhere than at this demo."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDS_", "CONSUL_")) and not name.lower().endswith("_proxy")
    }
    # The parts run in another directory and have to find this very package.
    source = str(Path(xds_server.__file__).resolve().parents[1])
    return kept | {"PYTHONPATH": source, "PYTHONUNBUFFERED": "1"}
