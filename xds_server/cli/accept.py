"""`xds-server accept`: release what a guard holds back."""

import json
from typing import Any

import click

from xds_server.cli.admin_client import Reach, act, connection_options, decoded, get
from xds_server.cli.options import EXIT_FOUND
from xds_server.cli.shown import clock, outcome, table


@click.command()
@click.argument("hold", required=False)
@click.option("--all", "every", is_flag=True, help="Release every hold.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@connection_options
def accept(*, hold: str | None, every: bool, output: str, **reach: str | None) -> None:
    """Release a HOLD: what a guard does not believe is true, and is to be served.

    Without HOLD it shows what is held, and changes nothing.

    \b
    Examples:
      xds-server accept
      xds-server accept last-endpoint/user
      xds-server accept --all

    Exit codes: 0 done or nothing is held, 1 something is held or it cannot be done, 2 the call is not right
    or not allowed, 3 the server cannot be reached.
    """  # noqa: D301 - click wants the character
    if hold is not None and every:
        raise click.UsageError("name one HOLD, or give --all")
    way = Reach(**reach)
    if hold is None and not every:
        _show(decoded(get(way, "/state"), way), output)
        return
    outcome(act(way, "accept", all=True) if every else act(way, "accept", hold=hold), output)


def _show(state: dict[str, Any], output: str) -> None:
    holds = state.get("holds", [])
    count = state.get("held", len(holds))
    click.echo(
        json.dumps({"held": count, "holds": holds}, indent=2) if output == "json" else held(holds, count)
    )
    if holds:
        raise click.exceptions.Exit(EXIT_FOUND)


def held(holds: list[dict[str, Any]], count: int) -> str:
    """Give the holds as a table; of many only some are listed."""
    if not holds:
        return "nothing is held"
    head = ("HOLD", "SINCE", "UNTIL", "WHAT")
    rows = [
        (one["id"], clock(one["since"]), clock(one["until"]) if one.get("until") else "", one["sentence"])
        for one in holds
    ]
    more = f"\nand {count - len(holds)} more" if count > len(holds) else ""
    return f"{table((head, *rows))}{more}\n\nrelease one with `xds-server accept HOLD`, or all with --all"
