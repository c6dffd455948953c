"""`xds-server rollback`: serve what was served before."""

import json
from typing import Any

import click

from xds_server.cli.admin_client import Reach, act, connection_options, decoded, get
from xds_server.cli.shown import clock, few, outcome, table


@click.command()
@click.argument("number", required=False, type=click.IntRange(min=0))
@click.option("--list", "listing", is_flag=True, help="Show the states there are, and change nothing.")
@click.option("--reason", metavar="TEXT", help="Why, for the log and for whoever looks at `status`.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@connection_options
def rollback(
    *, number: int | None, listing: bool, reason: str | None, output: str, **reach: str | None
) -> None:
    """Serve a state of before, by its NUMBER, or the one before the present.

    It stays until `xds-server freeze --release`. Secrets are those of now.

    \b
    Examples:
      xds-server rollback --list
      xds-server rollback
      xds-server rollback 41 --reason 'a deployment took the routes away'
      xds-server freeze --release

    Exit codes: 0 done, 1 it cannot be done, 2 the call is not right or not allowed, 3 the server cannot be
    reached.
    """  # noqa: D301 - click wants the character
    way = Reach(**reach)
    if not listing:
        outcome(act(way, "rollback", number=number, reason=reason), output)
        return
    if number is not None or reason is not None:
        raise click.UsageError("--list stands alone")
    shown = decoded(get(way, "/control/history"), way)
    click.echo(json.dumps(shown, indent=2) if output == "json" else _states(shown))


def _states(shown: dict[str, Any]) -> str:
    """Give the table, the newest state first."""
    states = shown.get("states", ())
    if not states:
        return "nothing was served yet"
    head = ("", "STATE", "SINCE", "SERVICES", "CHANGED")
    rows = [
        (
            "*" if one["number"] == shown.get("serving") else "",
            str(one["number"]),
            clock(one["at"]),
            str(one["services"]),
            _change(one),
        )
        for one in reversed(states)
    ]
    return f"{table((head, *rows))}\n\n* is served now"


def _change(one: dict[str, Any]) -> str:
    parts = [
        few(sign, names, count)
        for sign, names, count in zip(
            "+-~", (one["added"], one["removed"], one["changed"]), one["counts"], strict=True
        )
    ]
    parts += [word for word in ("settings", "entries") if one[word]]
    return " ".join(part for part in parts if part)
