"""How the commands show what a server says. Names are from Consul, so what a terminal obeys is escaped."""

import json
import time
from collections.abc import Sequence
from typing import Any, Final

import click

_MOST: Final = 5


def outcome(answer: dict[str, Any], output: str) -> None:
    """Print what came of an action."""
    click.echo(json.dumps(answer, indent=2) if output == "json" else plain(str(answer.get("sentence", ""))))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Give rows of cells in columns, the first row being the heads."""
    safe = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in safe) for column in range(len(safe[0]) - 1)]
    lines = []
    for row in safe:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def clock(at: float) -> str:
    """Give a Unix time as UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def few(sign: str, names: Sequence[str], count: int) -> str:
    """Give the first names with their sign, and how many more there are."""
    shown = " ".join(f"{sign}{name}" for name in names[:_MOST])
    more = count - min(len(names), _MOST)
    return f"{shown} and {more} more" if more > 0 else shown


def plain(text: str) -> str:
    """Escape what a terminal would obey."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
