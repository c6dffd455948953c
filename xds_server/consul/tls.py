"""The TLS contexts for Consul, made of PEM files.

What the files mean is what they mean to Consul's own programs: a CA file goes before a directory of CAs, and
every file of the directory is read (CONSUL_CACERT, CONSUL_CAPATH:
https://developer.hashicorp.com/consul/commands#environment-variables).
"""

import logging
import ssl
from pathlib import Path
from typing import Final

from xds_server.consul.address import ConsulTls
from xds_server.consul.errors import ConsulError
from xds_server.telemetry import Event, log

HTTP1: Final = "http/1.1"
HTTP2: Final = "h2"
_MOST_CA_FILES: Final = 1000


class TlsContexts:
    """Gives the TLS context for the next connection: the files are read again when they change.

    Files that cannot be used leave the context before them in force. Raises ConsulError, naming the file, if
    one cannot be used at first.
    """

    def __init__(self, tls: ConsulTls, *protocols: str) -> None:
        self._tls = tls
        self._protocols = protocols
        self._seen = _state(tls)
        self._context = tls_context(tls, *protocols)

    def current(self) -> ssl.SSLContext:
        """Give the context; it is the same object for as long as the files are the same."""
        seen = _state(self._tls)
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = tls_context(self._tls, *self._protocols)
            except ConsulError as error:
                log(Event.CONSUL_TLS_REFUSED, logging.WARNING, error=str(error))
        return self._context


def _state(tls: ConsulTls) -> tuple[tuple[int, int, int] | None, ...]:
    """Give what tells whether a file is another; a directory is another when files come and go."""
    return tuple(_stat(path) for path in (tls.ca_file, tls.ca_path, tls.cert_file, tls.key_file) if path)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def tls_context(tls: ConsulTls, *protocols: str) -> ssl.SSLContext:
    """Load the TLS files, and offer `protocols` by ALPN.

    Raises ConsulError, naming the file, if one cannot be used.
    """
    context = _trusting(tls)
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConsulError(
                f"the client certificate {tls.cert_file} for Consul cannot be used with its "
                f"key ({error}): check both."
            ) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


def _trusting(tls: ConsulTls) -> ssl.SSLContext:
    try:
        if tls.ca_file is not None or tls.ca_path is None:
            return ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConsulError(
            f"the CA file {tls.ca_file} for Consul cannot be used ({error}): check it."
        ) from error
    return ssl.create_default_context(cadata=_certificates(tls.ca_path))


def _certificates(directory: Path) -> str:
    """Give the PEM text of every file in a directory; OpenSSL itself would want them named by a hash."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    if not files or len(files) > _MOST_CA_FILES:
        raise ConsulError(
            f"the CA directory {directory} for Consul has {len(files)} files: "
            f"it needs 1 to {_MOST_CA_FILES} PEM files."
        )
    found = []
    for file in files:
        try:
            text = file.read_bytes().decode("ascii", "ignore")  # what is not ASCII is a comment
            ssl.create_default_context(cadata=text)
        except (OSError, ValueError, ssl.SSLError) as error:
            raise ConsulError(
                f"the CA file {file} for Consul cannot be used ({error}): take it out of the directory, "
                "or mend it."
            ) from error
        found.append(text)
    return "\n".join(found)
