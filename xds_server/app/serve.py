"""The composition root: builds every part, connects them by one-slot cells, and runs them in one TaskGroup.

source --Latest[Catalog]--> pipeline --Latest[Snapshot]--> streams --> Envoys
                               ^ Latest[Policy], Latest[Secrets]
"""

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from xds_server import __version__, telemetry
from xds_server.admin import AdminServer, application
from xds_server.consul.client import ConsulAddress, ConsulClient
from xds_server.consul.client import ConsulTls as ClientTls
from xds_server.consul.errors import ConsulError
from xds_server.consul.watch import ConsulSource, WatchOptions
from xds_server.files import CatalogFileError, CatalogFileSource, SecretsSource, file_changes, read_catalog
from xds_server.model.catalog import Catalog
from xds_server.model.policy import Policy
from xds_server.model.secret import Secrets
from xds_server.runtime.debounce import Pace
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.latest import Latest
from xds_server.runtime.load import Loads
from xds_server.runtime.pipeline import Pipeline
from xds_server.runtime.supervise import supervise
from xds_server.settings import ConsulSettings, ServerSettings, ServerTls, Settings, SettingsError
from xds_server.telemetry import Event, log
from xds_server.transport import (
    ConnectionOptions,
    PortTakenError,
    StreamLimits,
    TlsFiles,
    XdsServer,
    XdsServerOptions,
)

_GRACE: Final = 2.0

Loader = Callable[[], Settings]


class StartError(Exception):
    """The server cannot start; the sentence says why and what to do."""


async def serve(settings: Settings, reload: Loader) -> None:
    """Serve until SIGTERM or SIGINT.

    `reload` reads the settings again after their file changed; it raises SettingsError for a bad file, which
    leaves the old settings in force. Raises StartError where a port is taken or a file cannot be read.
    """
    telemetry.BUILD_INFO.labels(__version__).set(1)
    catalog, policy, secrets = Latest[Catalog](), Latest(settings.policy), Latest[Secrets]()
    pipeline = Pipeline(catalog, policy, secrets, Pace())
    secret_files = SecretsSource(settings.secret_files)
    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "pipeline": pipeline.run,
        "catalog": partial(_catalog_source(settings).run, catalog),
        "secrets": partial(secret_files.run, secrets),
        "settings": partial(_follow_settings, settings, policy, secret_files, reload),
    }
    async with _servers(settings, pipeline) as xds, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(supervise(name, run)) for name, run in parts.items()]
        running.append(tasks.create_task(xds.run()))
        await _told_to_stop()
        log(Event.SERVER_STOPPING)
        # Streams that are still open are served until it is their turn.
        await xds.drain()
        for task in running:
            task.cancel()
    log(Event.SERVER_STOPPED)


# --- sources -------------------------------------------------------------------------------------------


def _catalog_source(settings: Settings) -> ConsulSource | CatalogFileSource:
    try:
        if settings.catalog_file is not None:
            # Later a bad file leaves the last good catalog in force; at the start there is none.
            read_catalog(settings.catalog_file)
            return CatalogFileSource(settings.catalog_file)
        client = _consul_client(settings.consul)
    except (ConsulError, CatalogFileError) as error:
        raise StartError(str(error)) from None
    return ConsulSource(client, WatchOptions(wait=settings.consul.wait), settings.policy.hidden_services)


def _consul_client(consul: ConsulSettings) -> ConsulClient:
    tls = ClientTls(
        ca_file=consul.tls.ca_file,
        cert_file=consul.tls.cert_file,
        key_file=consul.tls.key_file,
        server_name=consul.tls.server_name,
        verify=consul.tls.verify,
    )
    address = ConsulAddress(
        url=consul.address,
        token=consul.token.value,
        token_file=consul.token_file,
        tls=tls,
        datacenter=consul.datacenter,
    )
    return ConsulClient(address)


async def _follow_settings(
    settings: Settings, policy: Latest[Policy], secrets: SecretsSource, reload: Loader
) -> None:
    """Take over a changed settings file: validate, then swap; a bad one leaves the old in force."""
    if settings.file is None:
        await asyncio.Event().wait()
        return
    async for _ in file_changes([settings.file]):
        fresh = await asyncio.to_thread(_reload, reload, settings.file)
        if fresh is not None:
            log(Event.SETTINGS_RELOADED, file=settings.file, needs_restart=_needs_restart(settings, fresh))
            secrets.use(fresh.secret_files)
            policy.publish(fresh.policy)


def _reload(reload: Loader, file: Path) -> Settings | None:
    """Read the settings again; None, and a line in the log, where they are refused."""
    try:
        if not file.stat().st_size:
            # An empty file is right at the start; here it is a file that somebody is about to write.
            raise SettingsError((f"{file}: it is empty; the settings stay as they are",))  # noqa: TRY301
        fresh = reload()
    except (SettingsError, OSError) as error:
        telemetry.SETTINGS_RELOADS.labels("refused").inc()
        log(Event.SETTINGS_REFUSED, logging.ERROR, error=error)
        return None
    telemetry.SETTINGS_RELOADS.labels("taken").inc()
    return fresh


def _needs_restart(old: Settings, new: Settings) -> str:
    """Name the settings that differ and take effect at the next start only."""
    fixed = ("consul", "catalog_file", "xds", "admin", "log")
    changed = [name for name in fixed if getattr(old, name) != getattr(new, name)]
    if old.policy.hidden_services != new.policy.hidden_services:
        changed.append("hidden_services")
    return ", ".join(changed)


# --- servers -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _servers(settings: Settings, pipeline: Pipeline) -> AsyncIterator[XdsServer]:
    """Listen on both ports for as long as the context is open."""
    tls = settings.xds.tls
    options = XdsServerOptions(
        host=settings.xds.host,
        port=settings.xds.port,
        tls=_tls_files(tls) if tls else None,
        identifier=f"xds-server/{__version__}",
        limits=StreamLimits(streams=settings.xds.max_streams, match_node_id=settings.xds.match_node_id),
        connections=ConnectionOptions(
            age=settings.xds.max_connection_age, request_size=settings.xds.max_request_size
        ),
        drain=settings.xds.drain_time,
    )
    loads = Loads()
    admin = AdminServer(application(pipeline, loads))
    xds = XdsServer(pipeline, Fleet(), loads, options)
    try:
        admin_port = await _start_admin(admin, settings.admin)
        xds_port = await _start_xds(xds, settings.xds)
        log(Event.SERVER_STARTED, version=__version__, xds_port=xds_port, admin_port=admin_port)
        yield xds
    finally:
        await xds.stop(_GRACE)
        await admin.stop()


async def _start_xds(server: XdsServer, settings: ServerSettings) -> int:
    try:
        return await server.start()
    except PortTakenError:
        raise StartError(_taken("xDS", settings, "--listen")) from None
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
