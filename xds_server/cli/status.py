"""`xds-server status`: how far the catalog of a running server can be trusted."""

import http.client
import json
import ssl
import time
from typing import Final

import click
import msgspec

from xds_server.cli.options import EXIT_FOUND, EXIT_USAGE, fail

_DEFAULT: Final = "127.0.0.1:18001"
_EXIT_UNREACHABLE: Final = 3
_SECONDS: Final = 5.0
_MAX_BODY: Final = 2**20


@click.command()
@click.option(
    "--admin",
    metavar="HOST:PORT",
    envvar="XDS_ADMIN",
    default=_DEFAULT,
    help=f"Admin port [default: {_DEFAULT}].",
)
@click.option("--tls-ca", metavar="FILE", help="Speak TLS, and trust this CA (PEM).")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(*, admin: str, tls_ca: str | None, output: str) -> None:
    """Show how far the catalog of a running server can be trusted.

    A source is live, stale (nobody answers, the last good catalog is served) or frozen (the answers are
    doubted, the last good catalog is served).

    \b
    Examples:
      xds-server status
      xds-server status --admin 10.0.0.1:18001 -o json

    Exit codes: 0 all is live, 1 something is stale or frozen or not ready, 2 the call is not right,
    3 the server cannot be reached.
    """  # noqa: D301 - click wants the character
    body = _ask(admin, tls_ca)
    try:
        state = msgspec.json.decode(body, type=_State)
    except msgspec.DecodeError:
        fail(
            f"no xds-server answers at {admin}: see that it runs, and name its admin port with "
            "--admin HOST:PORT, and its CA with --tls-ca FILE if it speaks TLS",
            _EXIT_UNREACHABLE,
        )
    click.echo(json.dumps(json.loads(body), indent=2) if output == "json" else _table(state))
    if not state.ready or any(one.state != "live" for one in state.sources):
        raise click.exceptions.Exit(EXIT_FOUND)


class _Source(msgspec.Struct, frozen=True):
    """One source of `/state`."""

    source: str
    state: str
    reason: str
    since: float


class _State(msgspec.Struct, frozen=True):
    """What `/state` of the admin port says."""

    ready: bool
    services: int
    sources: tuple[_Source, ...]


def _ask(admin: str, tls_ca: str | None) -> bytes:
    """Give what answers for `/state`; empty if nothing does."""
    connection = _connection(admin, tls_ca)
    try:
        connection.request("GET", "/state")
        return connection.getresponse().read(_MAX_BODY)
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()


def _connection(admin: str, tls_ca: str | None) -> http.client.HTTPConnection:
    host, _, port = admin.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        fail(f"--admin {admin!r} is not HOST:PORT", EXIT_USAGE)
    if tls_ca is None:
        return http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
    try:
        context = ssl.create_default_context(cafile=tls_ca)
    except OSError as error:
        fail(f"the CA file {tls_ca} cannot be used ({error}): check it", EXIT_USAGE)
    return http.client.HTTPSConnection(host, int(port), timeout=_SECONDS, context=context)


def _table(state: _State) -> str:
    head = ("SOURCE", "STATE", "SINCE", "REASON")
    rows = [head, *((one.source, one.state, _clock(one.since), one.reason) for one in state.sources)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    ready = "ready" if state.ready else "not ready"
    lines = [f"{ready}, {state.services} service{'' if state.services == 1 else 's'}", ""]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _clock(since: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
