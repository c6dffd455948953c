"""The settings of our own two servers."""

import os
from pathlib import Path
from typing import Final

from msgspec import UnsetType

from xds_server.reading import quoted
from xds_server.settings.addresses import AddressError, host_and_port
from xds_server.settings.admin_socket import AUTO, LONGEST_PATH, OFF
from xds_server.settings.server_shape import MOST_WORKERS, AdminShape, ServerTlsShape, XdsShape, XdsTlsShape
from xds_server.settings.sources import Sources
from xds_server.settings.values import AdminSettings, ServerTls, XdsSettings

_UNITS: Final = {"KiB": 1024, "MiB": 1024 * 1024}
_SMALLEST: Final = 64 * 1024
_LARGEST: Final = 1024 * 1024 * 1024


def admin_settings(shape: AdminShape, sources: Sources) -> AdminSettings:
    """Lay flags and environment over the file's `admin`."""
    host, port = _address(shape, sources, "admin")
    return AdminSettings(
        host=host,
        port=port,
        tls=_tls(shape.tls, sources, "admin"),
        socket=_socket(shape.socket, sources),
        token_file=_path(sources, "admin.token_file", shape.token_file),
    )


def xds_settings(shape: XdsShape, sources: Sources) -> XdsSettings:
    """Lay flags and environment over the file's `xds`."""
    host, port = _address(shape, sources, "xds")
    tls = _tls(shape.tls, sources, "xds")
    match = isinstance(shape.tls, XdsTlsShape) and shape.tls.match_node_id
    if match and tls is not None and tls.client_ca_file is None:
        sources.note(
            "xds.tls.match_node_id", "needs client_ca_file as well; without it no client shows a certificate"
        )
    return XdsSettings(
        host=host,
        port=port,
        tls=tls,
        match_node_id=match,
        max_streams=shape.max_streams,
        max_streams_per_address=shape.max_streams_per_address,
        max_streams_per_identity=shape.max_streams_per_identity,
        max_connection_age=shape.max_connection_age,
        drain_time=shape.drain_time,
        max_request_size=_size(shape.max_request_size, sources, "xds.max_request_size"),
    )


def workers(from_file: int, sources: Sources) -> int:
    """Lay flag and environment over the file's `workers`."""
    text = sources.text("workers")
    if text is None:
        return from_file
    if text not in map(str, range(1, MOST_WORKERS + 1)):
        sources.note("workers", f"{quoted(text)} is not a number from 1 to {MOST_WORKERS}")
        return 1
    return int(text)


def _address(shape: XdsShape | AdminShape, sources: Sources, key: str) -> tuple[str, int]:
    try:
        return host_and_port(sources.text(f"{key}.address") or shape.address)
    except AddressError as error:
        sources.note(f"{key}.address", str(error))
        return "127.0.0.1", 0


def _tls(shape: ServerTlsShape | UnsetType, sources: Sources, key: str) -> ServerTls | None:
    if isinstance(shape, UnsetType):
        return None
    ca_file = shape.client_ca_file
    return ServerTls(
        cert_file=sources.path(f"{key}.tls.cert_file", shape.cert_file),
        key_file=sources.path(f"{key}.tls.key_file", shape.key_file),
        client_ca_file=_path(sources, f"{key}.tls.client_ca_file", ca_file),
    )


def _socket(text: str, sources: Sources) -> str:
    if text in (AUTO, OFF):
        return text
    path = str(sources.path("admin.socket", text))
    if len(os.fsencode(path)) > LONGEST_PATH:
        sources.note(
            "admin.socket", f"{quoted(text)} is longer than the {LONGEST_PATH} bytes of a unix socket"
        )
    return path


def _path(sources: Sources, key: str, text: str | UnsetType) -> Path | None:
    return None if isinstance(text, UnsetType) else sources.path(key, text)


def _size(text: str, sources: Sources, key: str) -> int:
    """Give the bytes of a size that has the right form."""
    size = int(text[:-3]) * _UNITS[text[-3:]]
    if not _SMALLEST <= size <= _LARGEST:
        sources.note(key, f"{quoted(text)} is not from 64KiB to 1024MiB")
    return size
