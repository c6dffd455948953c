"""`xds-server version`."""

import click

from xds_server import __version__


@click.command()
def version() -> None:
    """Print the version.

    \b
    Example:
      xds-server version
    """  # noqa: D301 - click wants the character
    click.echo(f"xds-server {__version__}")
