"""The benchmark: `python -m bench [W1 ...] [--full] [-o json]`.

Runs the workloads one after the other, and prints their tables; what was measured is in bench/results/, a
file for each workload, written as it comes. A workload that fails says why and costs the others nothing.
"""

import asyncio
import json
import tempfile
from pathlib import Path

import click

from bench import workloads
from bench.figures import Result
from bench.machine import machine
from bench.run import RESULTS, Run
from bench.table import told

_QUICK = 400.0
_FULL = 2400.0
"""Seconds a workload may take."""


async def _bounded(run: Run, name: str) -> None:
    """Run one workload to its end or to its limit; an error becomes a sentence of the result."""
    limit = run.choose(_QUICK, _FULL)
    try:
        _, go = workloads.workload(name)
        async with asyncio.timeout(limit):
            await go(run)
    except TimeoutError:
        run.result.failed = f"it did not end within {limit:g} s; what it measured until then is there"
    except Exception as error:  # noqa: BLE001 - one workload must not cost the others
        run.result.failed = f"{type(error).__name__}: {error}"


def measure(name: str, *, full: bool, only: tuple[str, ...], python: bool, results: Path) -> Result:
    """Run one workload, and write its result."""
    title, _ = workloads.workload(name)
    result = Result(workload=name, title=title, machine=machine() | {"full": full})
    with tempfile.TemporaryDirectory() as directory:
        run = Run(
            directory=Path(directory), result=result, full=full, only=only, python=python, results=results
        )
        asyncio.run(_bounded(run, name))
        run.save()
    return result


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(workloads.MODULES)))
@click.option("--quick/--full", default=True, show_default=True, help="Few cases and short, or all.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--peer", "only", multiple=True, help="Compare with these only: linear, snapshot, bare.")
@click.option("--python", is_flag=True, help="Use the load generator in Python even where there is Go.")
@click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS, help="Where results are written."
)
def main(
    names: tuple[str, ...], output: str, only: tuple[str, ...], results: Path, *, quick: bool, python: bool
) -> None:
    """Run workloads."""
    failed = []
    for name in names or tuple(workloads.MODULES):
        click.echo(f"{name} ...", err=True)
        result = measure(name, full=not quick, only=only, python=python, results=results)
        failed += [name] if result.failed else []
        click.echo(json.dumps(result.to_json()) if output == "json" else told(result) + "\n")
    if failed:
        raise click.ClickException(f"FAILED: {', '.join(failed)}")


if __name__ == "__main__":
    main()
