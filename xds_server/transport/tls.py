"""The certificate of a gRPC server, read again for each new connection once its files have changed."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of a server; with `client_ca_file`, clients must show a certificate that it signed."""

    cert_file: str
    key_file: str
    client_ca_file: str = ""


class _Reloading:
    """Gives the present certificate; keeps the last good one while the files are unreadable."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = self._stamps()

    def configuration(self) -> Any:
        """Read the files. Raises OSError."""
        files = self._files
        pair = (Path(files.key_file).read_bytes(), Path(files.cert_file).read_bytes())
        roots = Path(files.client_ca_file).read_bytes() if files.client_ca_file else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def fetch(self) -> Any:
        """Give the configuration if the files changed since the last time; None keeps the present one."""
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return None
            configuration = self.configuration()
        except OSError:
            return None
        self._seen = stamps
        return configuration

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        files = (self._files.cert_file, self._files.key_file, self._files.client_ca_file)
        stats = (os.stat(path) for path in files if path)  # noqa: PTH116 - no Path is kept
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in stats)


def server_credentials(files: TlsFiles) -> Any:
    """Give credentials that follow the files. Raises OSError where they cannot be read at the start."""
    source = _Reloading(files)
    return grpc.dynamic_ssl_server_credentials(
        source.configuration(), source.fetch, require_client_authentication=bool(files.client_ca_file)
    )
