"""`xds-server config`: schema, check, show."""

import json
from typing import Any

import click

from xds_server.cli.options import echo, load_settings


@click.group()
def config() -> None:
    """Check, show and describe the settings."""


@config.command()
def schema() -> None:
    """Print the JSON Schema of the settings file.

    \b
    Example:
      xds-server config schema > xds-server.schema.json
      # then, as line one of xds-server.yaml:
      # yaml-language-server: $schema=xds-server.schema.json
    """  # noqa: D301 - click wants the character
    from xds_server.settings import json_schema  # noqa: PLC0415

    click.echo(json.dumps(json_schema(), indent=2))


@config.command()
@click.argument("file")
def check(file: str) -> None:
    """Say whether a settings file is right, and if not, what is wrong where.

    \b
    Example:
      xds-server config check xds-server.yaml && systemctl reload xds-server

    Exit codes: 0 it is right, 2 it is not.
    """  # noqa: D301 - click wants the character
    load_settings(file)
    click.echo(f"{file} is right")


@config.command()
@click.option("--config", "file", metavar="FILE", help="Settings file [default: $XDS_CONFIG, else none].")
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def show(*, file: str | None, origin: bool, output: str) -> None:
    """Show the settings in force: flags, environment and file laid over the defaults. Secrets are masked.

    \b
    Examples:
      xds-server config show --origin
      xds-server config show --config xds-server.yaml -o json
    """  # noqa: D301 - click wants the character
    from xds_server.settings import show as values  # noqa: PLC0415

    settings = load_settings(file)
    shown: dict[str, Any] = dict(settings.origins) if origin else values(settings)
    echo(shown, output)
