"""`xds-server status`: how far the catalog of a running server can be trusted."""

import json
from typing import Any

import click
import msgspec

from xds_server.cli.accept import held
from xds_server.cli.admin_client import Reach, connection_options, get, nobody
from xds_server.cli.options import EXIT_FOUND
from xds_server.cli.shown import clock, plain, table


@click.command()
@connection_options
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(*, output: str, **reach: str | None) -> None:
    """Show how far the catalog of a running server can be trusted.

    A source is live, stale (nobody answers, the last good catalog is served) or frozen (the answers are
    doubted, the last good catalog is served). The source `operator` is there while somebody has frozen what
    is served, or rolled it back. What a guard holds back stands below.

    \b
    Examples:
      xds-server status
      xds-server status --admin 10.0.0.1:18001 -o json

    Exit codes: 0 all is live, 1 something is stale, frozen, held back or not ready, 2 the call is not right,
    3 the server cannot be reached.
    """  # noqa: D301 - click wants the character
    way = Reach(**reach)
    body = get(way, "/state").body
    try:
        state = msgspec.json.decode(body, type=_State)
    except msgspec.DecodeError:
        nobody(way)
    click.echo(json.dumps(json.loads(body), indent=2) if output == "json" else _shown(state))
    if not state.ready or state.held or any(one.state != "live" for one in state.sources):
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
    operator: dict[str, object] | None = None
    held: int = 0
    holds: list[dict[str, Any]] = []
    last_good: dict[str, Any] | None = None


def _shown(state: _State) -> str:
    ready = "ready" if state.ready else "not ready"
    word = f", {str(state.operator['kind']).upper()} by operator" if state.operator else ""
    head = ("SOURCE", "STATE", "SINCE", "REASON")
    rows = [head, *((one.source, one.state, clock(one.since), one.reason) for one in state.sources)]
    first = f"{ready}{plain(word)}, {state.services} service{'' if state.services == 1 else 's'}"
    parts = [first, "", table(rows)]
    if state.last_good:
        parts += ["", _last_good(state.last_good)]
    if state.held:
        parts += ["", held(state.holds, state.held)]
    return "\n".join(parts)


def _last_good(kept: dict[str, Any]) -> str:
    """Say what is kept on disk."""
    what = f"{kept['services']} services, of {clock(kept['at'])}" if kept["at"] else "nothing"
    wrong = "".join(f"; the file {kept[key]}" for key in ("refused", "error") if kept[key])
    return plain(f"last good state: {what}, in {kept['path']}{wrong}")
