"""What several commands share: loading the settings, and telling what is wrong with them."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import click

from xds_server.settings import Settings, SettingsError, load

EXIT_FOUND = 1
EXIT_USAGE = 2


def read_settings(file: str | None, flags: dict[str, str | None]) -> Settings:
    """Read the settings from flags, environment and file. Raises SettingsError."""
    return load(flags=flags, environ=os.environ, file=Path(file) if file else None)


def load_settings(file: str | None, flags: dict[str, str | None] | None = None) -> Settings:
    """Read the settings; end with exit code 2 where they are not right."""
    try:
        return read_settings(file, flags or {})
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)


def fail(sentence: str, code: int) -> NoReturn:
    """Say what is wrong on standard error and end with an exit code."""
    click.echo(f"Error: {sentence}", err=True)
    raise click.exceptions.Exit(code)


def echo(value: dict[str, Any], form: str) -> None:
    """Print a value on standard output as `json` or `yaml`."""
    if form == "json":
        click.echo(json.dumps(value, indent=2))
        return
    import yaml  # noqa: PLC0415 - most commands print no YAML

    click.echo(yaml.safe_dump(value, sort_keys=False, width=120), nl=False)
