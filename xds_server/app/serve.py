"""The composition root: builds every part, connects them by one-slot cells, and runs them in one TaskGroup.

source --Latest[Catalog]--> guards --Latest[Catalog]--> pipeline --Latest[Snapshot]--> streams --> Envoys
                                                           ^ Latest[Policy], Latest[Secrets]

With `workers` the last two stages are done by processes of their own, each of which is sent what is before.
"""

import asyncio
import contextlib
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from xds_server import __version__, telemetry
from xds_server.admin import AdminServer, Sources
from xds_server.app import consul
from xds_server.app.admin import admin_server, open_socket
from xds_server.app.descriptors import Descriptors, raise_limit
from xds_server.app.last_good import LastGoodState
from xds_server.app.reload import Loader, follow
from xds_server.consul.errors import ConsulError
from xds_server.files import CatalogFileError, CatalogFileSource, SecretsSource
from xds_server.model.secret import Secrets
from xds_server.model.standing import Standing, State
from xds_server.preflight import EnvoyCheck
from xds_server.runtime.control import Control
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.garbage import Collections
from xds_server.runtime.guarding import Guarding
from xds_server.runtime.interest import Interest
from xds_server.runtime.lag import LoopLag
from xds_server.runtime.latest import Latest
from xds_server.runtime.load import Loads
from xds_server.runtime.pipeline import Pipeline
from xds_server.runtime.supervise import report_unawaited, supervise
from xds_server.runtime.truth import TruthMonitor
from xds_server.runtime.vetting import Judge, Preflight
from xds_server.settings import ServerSettings, ServerTls, Settings, XdsSettings
from xds_server.telemetry import Event, log
from xds_server.transport import (
    Caps,
    ConnectionOptions,
    PortTakenError,
    StreamLimits,
    TlsFiles,
    XdsServer,
    XdsServerOptions,
)

_GRACE: Final = 2.0


class Front(Protocol):
    """Who serves the streams: this process (`XdsServer`), or workers of it (`Crew`)."""

    async def start(self) -> int:
        """Bind and serve; give the port. Raises PortTakenError and OSError."""

    async def run(self) -> None:
        """Serve for ever."""

    async def drain(self) -> None:
        """Refuse new streams, and end the open ones."""

    async def stop(self, grace: float) -> None:
        """Be gone within so many seconds."""


class StartError(Exception):
    """The server cannot start; the sentence says why and what to do."""


async def serve(settings: Settings, reload: Loader) -> None:
    """Serve until SIGTERM or SIGINT.

    `reload` reads the settings again after their file changed; it raises SettingsError for a bad file, which
    leaves the old settings in force. Raises StartError where a port is taken or a file cannot be read.
    """
    telemetry.BUILD_INFO.labels(__version__).set(1)
    sources, policy, secrets, fleet = Sources(), Latest(settings.policy), Latest[Secrets](), Fleet()
    last_good = LastGoodState(settings, sources)
    await last_good.load()
    believed = sources.believed
    guarding = Guarding(
        sources.catalog, policy, believed, settings.guards, last_good.catalog, sources.standings
    )
    pipeline = Pipeline(believed, policy, secrets, settings.pace, _preflight(settings))
    guarding.add(pipeline)
    pipeline.others.append(guarding.problems)
    sources.holders.append(lambda: guarding.holds)
    secret_files = SecretsSource(settings.secret_files)
    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "guards": guarding.run,
        "pipeline": pipeline.run,
        "catalog": _catalog_source(settings, sources, fleet.interest),
        "secrets": partial(secret_files.run, secrets),
        "settings": partial(follow, settings, policy, secret_files, reload),
        "descriptors": Descriptors(raise_limit()).run,
    }
    truth = TruthMonitor(fleet, lambda: pipeline.behind)
    pipeline.others.append(truth.problems)
    parts |= {"loop lag": LoopLag().run, "collections": Collections().run, "truth": truth.run}
    report_unawaited(asyncio.get_running_loop())
    control = Control(pipeline, guarding)
    loads = Loads()
    xds: Front
    if settings.workers == 1:
        xds = XdsServer(pipeline, fleet, loads, _options(settings))
        last_good.resume(pipeline, control, believed)
    else:
        # Who needs none starts sooner without it.
        from xds_server.app.workers.crew import Crew, Parent  # noqa: PLC0415

        parent = Parent(
            sources=sources,
            policy=policy,
            secrets=secrets,
            control=control,
            interest=fleet.interest,
            loads=loads,
        )
        xds = crew = Crew(settings, _options(settings), parent)
        pipeline.others.append(crew.problems)
        guarding.add(crew)
        last_good.resume(crew, control, believed)
    if last_good.is_wanted:
        parts["last good"] = last_good.run
    parts["xds"] = xds.run
    admin = admin_server(pipeline, loads, sources, control, settings.admin)
    async with _listening(settings, xds, admin) as port, asyncio.TaskGroup() as tasks:
        itself = tasks.create_task(consul.stay_registered(settings, sources, port))
        running = [tasks.create_task(supervise(name, run)) for name, run in parts.items()]
        await _told_to_stop()
        log(Event.SERVER_STOPPING)
        # Nobody is to find this server any more who would have to leave it at once.
        itself.cancel()
        await asyncio.wait([itself])
        # Streams that are still open are served until it is their turn.
        await xds.drain()
        for task in running:
            task.cancel()
        await last_good.finish()
    log(Event.SERVER_STOPPED)


def _preflight(settings: Settings) -> tuple[Preflight, Judge] | None:
    if settings.preflight is Preflight.OFF:
        return None
    return settings.preflight, EnvoyCheck(settings.envoy)


# --- sources -------------------------------------------------------------------------------------------


def _catalog_source(
    settings: Settings, sources: Sources, interest: Interest
) -> Callable[[], Awaitable[None]]:
    """Give what fills the cells of `sources`; raise StartError if it cannot begin."""
    try:
        if settings.catalog_file is not None:
            # Later a bad file leaves the last good catalog in force; at the start there is none.
            file = CatalogFileSource(settings.catalog_file)
            file.begin()
            sources.standings.publish((_standing_of_file(settings.catalog_file),))
            return partial(file.run, sources.catalog)
        return consul.catalog_source(settings, sources, interest)
    except (ConsulError, CatalogFileError) as error:
        raise StartError(str(error)) from None


def _standing_of_file(file: Path) -> Standing:
    """Give the standing of a catalog file: it is all there is to know, at any time."""
    return Standing(source=f"file {file}", state=State.LIVE, reason="", since=time.time())


# --- servers -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _listening(settings: Settings, xds: Front, admin: AdminServer) -> AsyncIterator[int]:
    """Listen on both ports for as long as the context is open; give that of xDS."""
    try:
        admin_port = await _start_admin(admin, settings.admin)
        await open_socket(admin, settings.admin, admin_port)
        xds_port = await _start_xds(xds, settings.xds)
        log(Event.SERVER_STARTED, version=__version__, xds_port=xds_port, admin_port=admin_port)
        yield xds_port
    finally:
        await xds.stop(_GRACE)
        await admin.stop()


def _options(settings: Settings) -> XdsServerOptions:
    tls = settings.xds.tls
    return XdsServerOptions(
        host=settings.xds.host,
        port=settings.xds.port,
        tls=_tls_files(tls) if tls else None,
        identifier=f"xds-server/{__version__}",
        limits=_limits(settings.xds),
        connections=ConnectionOptions(
            age=settings.xds.max_connection_age, request_size=settings.xds.max_request_size
        ),
        drain=settings.xds.drain_time,
    )


def _limits(xds: XdsSettings) -> StreamLimits:
    caps = Caps(
        streams=xds.max_streams,
        per_address=xds.max_streams_per_address,
        per_identity=xds.max_streams_per_identity,
    )
    return StreamLimits(caps=caps, match_node_id=xds.match_node_id)


async def _start_xds(server: Front, settings: ServerSettings) -> int:
    try:
        return await server.start()
    except PortTakenError:
        raise StartError(_taken("xDS", settings, "--listen")) from None
    except ChildProcessError as error:
        raise StartError(f"a worker cannot start: its {error}") from None
    except OSError as error:
        raise StartError(f"the TLS files of xds.tls cannot be read: {error}") from None


async def _start_admin(server: AdminServer, settings: ServerSettings) -> int:
    try:
        context = _ssl_context(settings.tls) if settings.tls else None
    except OSError as error:
        raise StartError(f"the TLS files of admin.tls cannot be used: {error}") from None
    try:
        return await server.start(settings.host, settings.port, context)
    except OSError:
        raise StartError(_taken("admin", settings, "--admin")) from None


def _taken(what: str, settings: ServerSettings, flag: str) -> str:
    return (
        f"the {what} address {settings.address} cannot be bound: it is taken, or not this machine's; "
        f"choose another with {flag} HOST:PORT"
    )


def _tls_files(tls: ServerTls) -> TlsFiles:
    return TlsFiles(
        cert_file=str(tls.cert_file),
        key_file=str(tls.key_file),
        client_ca_file=str(tls.client_ca_file or ""),
    )


def _ssl_context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.client_ca_file is not None:
        context.load_verify_locations(Path(tls.client_ca_file))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _told_to_stop() -> None:
    """Wait for the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
