"""`xds-server version`."""

import click

from xds_server import __version__


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"xds-server {__version__}")
