"""How the commands reach a running server: its unix socket on this machine, or its admin port."""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from xds_server.cli.options import EXIT_FOUND, EXIT_USAGE, fail
from xds_server.cli.shown import plain

DEFAULT_PORT: Final = 18001
EXIT_UNREACHABLE: Final = 3
_SECONDS: Final = 5.0
_MAX_BODY: Final = 2**20
_UNIX: Final = "unix:"
_LONGEST_TOKEN: Final = 4096
_NOT_HERE: Final = frozenset({404, 405})
_NOT_ALLOWED: Final = frozenset({400, 403, 413, 415})

_OPTIONS: Final = (
    click.option(
        "--admin",
        metavar="HOST:PORT|unix:PATH",
        envvar="XDS_ADMIN",
        default=None,
        help=f"The server's admin port or socket [default: the socket of port {DEFAULT_PORT}, or that port].",
    ),
    click.option("--token-file", metavar="FILE", help="Prove who you are by the token in this file."),
    click.option("--tls-ca", metavar="FILE", help="Speak TLS, and trust this CA (PEM)."),
    click.option("--tls-cert", metavar="FILE", help="Certificate to show (PEM)."),
    click.option("--tls-key", metavar="FILE", help="Key of --tls-cert."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The options that say how the server is reached, as they were given."""

    admin: str | None
    token_file: str | None
    tls_ca: str | None
    tls_cert: str | None
    tls_key: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered."""

    status: int
    body: bytes


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that `Reach` is made of."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def get(reach: Reach, path: str) -> Reply:
    """Ask for a path; end with exit code 3 where nothing answers, with 2 for options that are not right."""
    return _ask(reach, "GET", path, None)


def act(reach: Reach, action: str, **given: Any) -> dict[str, Any]:
    """Do something, and give the answer; end with the server's own sentence where it refuses."""
    words = {name: value for name, value in given.items() if value is not None}
    reply = _ask(reach, "POST", f"/control/{action}", json.dumps(words).encode())
    answer = decoded(reply, reach)
    if reply.status != http.client.OK:
        _fail(reply.status, str(answer.get("error") or f"the server answered {reply.status}"))
    return answer


def _fail(status: int, sentence: str) -> NoReturn:
    if status in _NOT_HERE:
        sentence = "this xds-server is too old for it, or it is another program; see what listens there"
    fail(plain(sentence), EXIT_USAGE if status in _NOT_ALLOWED else EXIT_FOUND)


def decoded(reply: Reply, reach: Reach) -> dict[str, Any]:
    """Give the JSON object in a reply; end with exit code 3 where there is none."""
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        nobody(reach)
    return answer


def nobody(reach: Reach) -> NoReturn:
    """End with exit code 3, and say what was tried."""
    tried = ", ".join(place.name for place in _places(reach))
    fail(
        f"no xds-server answers at {tried}: see that it runs, and name its admin port or socket with "
        "--admin HOST:PORT or --admin unix:PATH, and its CA with --tls-ca FILE if it speaks TLS",
        EXIT_UNREACHABLE,
    )


# --- where it is -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """One way to the server."""

    name: str
    connect: Callable[[], http.client.HTTPConnection]


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def _ask(reach: Reach, method: str, path: str, body: bytes | None) -> Reply:
    headers = _headers(reach)
    for place in _places(reach):
        connection = place.connect()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Reply(answer.status, answer.read(_MAX_BODY))
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, PermissionError):
                fail(f"{place.name} is not yours to use; be the user that runs it, or root", EXIT_USAGE)
        finally:
            connection.close()
    nobody(reach)


def _places(reach: Reach) -> Iterator[_Place]:
    """Give the ways to the server, in the order in which they are tried.

    Without --admin it is the socket of a server with the default port; of one that is not there its port.
    """
    if reach.admin and reach.admin.startswith(_UNIX):
        yield _unix(reach.admin.removeprefix(_UNIX).removeprefix("//"))
        return
    if reach.admin is None and reach.tls_ca is None:
        from xds_server.settings.admin_socket import sockets_to_try  # noqa: PLC0415 - not for --help

        for path in sockets_to_try(DEFAULT_PORT, os.environ, os.getuid()):
            yield _unix(str(path))
    yield _tcp(reach)


def _unix(path: str) -> _Place:
    return _Place(f"{_UNIX}{path}", lambda: _UnixConnection(path))


def _tcp(reach: Reach) -> _Place:
    admin = reach.admin or f"127.0.0.1:{DEFAULT_PORT}"
    host, _, text = admin.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (text.isascii() and text.isdigit() and 0 < int(text) < 2**16):
        fail(f"--admin {admin!r} is not HOST:PORT, nor unix:PATH", EXIT_USAGE)
    port, context = int(text), _context(reach)
    if context is None:
        return _Place(admin, lambda: http.client.HTTPConnection(host, port, timeout=_SECONDS))
    return _Place(admin, lambda: http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context))


def _context(reach: Reach) -> ssl.SSLContext | None:
    if bool(reach.tls_cert) != bool(reach.tls_key):
        fail("--tls-cert and --tls-key go together", EXIT_USAGE)
    if reach.tls_ca is None:
        if reach.tls_cert:
            fail("--tls-cert and --tls-key need --tls-ca", EXIT_USAGE)
        return None
    try:
        context = ssl.create_default_context(cafile=reach.tls_ca)
    except OSError as error:
        fail(f"the CA file {reach.tls_ca} cannot be used ({error}): check it", EXIT_USAGE)
    if reach.tls_cert and reach.tls_key:
        try:
            context.load_cert_chain(reach.tls_cert, reach.tls_key)
        except OSError as error:
            fail(f"the certificate {reach.tls_cert} and its key cannot be used ({error})", EXIT_USAGE)
    return context


def _headers(reach: Reach) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if reach.token_file is not None:
        headers["Authorization"] = f"Bearer {_token(Path(reach.token_file))}"
    return headers


def _token(file: Path) -> str:
    """Give the token in a file. What cannot be a header is found here: later the error would show it."""
    try:
        with file.open("rb") as opened:
            token = opened.read(_LONGEST_TOKEN).strip().decode()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"the token file {file} cannot be read ({type(error).__name__}): check it", EXIT_USAGE)
    if not token.isascii() or not token.isprintable() or not token:
        fail(f"the token file {file} does not hold a token of one line", EXIT_USAGE)
    return token
