"""Makes the admin server: who may act there, and the unix socket beside its port."""

import logging
import os
from pathlib import Path

from xds_server.admin import Access, AdminServer, SocketError, Sources, application
from xds_server.runtime.control import Control
from xds_server.runtime.load import Loads
from xds_server.runtime.pipeline import Pipeline
from xds_server.settings import AdminSettings
from xds_server.settings.admin_socket import AUTO, OFF, private_directory, socket_of
from xds_server.telemetry import Event, log


def admin_server(
    pipeline: Pipeline, loads: Loads, sources: Sources, control: Control, settings: AdminSettings
) -> AdminServer:
    """Give the server, which does not listen yet."""
    tls = settings.tls
    access = Access(
        certificates=tls is not None and tls.client_ca_file is not None,
        token_file=settings.token_file,
        socket=str(_path(settings, settings.port) or "") if settings.port else "",
    )
    return AdminServer(application(pipeline, loads, sources, control, access))


async def open_socket(server: AdminServer, settings: AdminSettings, port: int) -> None:
    """Listen on the unix socket; where that cannot be, the log says why, and all else goes on."""
    path = _path(settings, port)
    if path is None:
        return
    if wrong := private_directory(path.parent, os.getuid()):
        log(Event.ADMIN_SOCKET_FAILED, logging.ERROR, error=wrong)
        return
    try:
        await server.open_socket(path)
    except SocketError as error:
        log(Event.ADMIN_SOCKET_FAILED, logging.ERROR, error=error)
    else:
        log(Event.ADMIN_SOCKET_OPENED, path=path)


def _path(settings: AdminSettings, port: int) -> Path | None:
    if settings.socket == OFF:
        return None
    return socket_of(port, os.environ, os.getuid()) if settings.socket == AUTO else Path(settings.socket)
