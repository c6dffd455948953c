"""`xds-server render`."""

from pathlib import Path

import click

from xds_server.cli.options import EXIT_FOUND, EXIT_USAGE, echo, fail, load_settings


@click.command()
@click.option("--catalog", required=True, metavar="FILE", help="The catalog (YAML).")
@click.option("--config", metavar="FILE", help="Settings file (YAML) [default: $XDS_CONFIG, else none].")
@click.option(
    "--client",
    type=click.Choice(["envoy", "grpc"]),
    default="envoy",
    show_default=True,
    help="Whom it is for: an Envoy, or gRPC without a proxy.",
)
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def render(*, catalog: str, config: str | None, client: str, output: str) -> None:
    """Print the xDS that a catalog file and the settings lead to. No network is used.

    Resources go to standard output, in Envoy's own field names; problems go to standard error, a line each.
    Private keys are hidden.

    \b
    Examples:
      xds-server render --catalog catalog.yaml
      xds-server render --catalog catalog.yaml --config xds-server.yaml -o json
      xds-server render --catalog catalog.yaml --config xds-server.yaml --client grpc

    Exit codes: 0 rendered, 1 rendered but with problems, 2 a file is not right.
    """  # noqa: D301 - click wants the character
    from xds_server.app import render as app  # noqa: PLC0415
    from xds_server.files import CatalogFileError  # noqa: PLC0415
    from xds_server.model.proxy import Client  # noqa: PLC0415
    from xds_server.translate.render import SECTIONS, to_dict, unpack  # noqa: PLC0415

    settings = load_settings(config, {"catalog": catalog})
    try:
        snapshot = app.render(settings, Path(catalog), Client(client))
    except CatalogFileError as error:
        fail(str(error), EXIT_USAGE)
    sections = {
        section: [to_dict(unpack(type_url, found.packed)) for found in entries.values()]
        for type_url, section in SECTIONS.items()
        if (entries := snapshot.sets[type_url].by_name)
    }
    echo(sections, output)
    for problem in snapshot.problems:
        click.echo(f"{problem.code}: {problem.source}: {problem.sentence}", err=True)
    if snapshot.problems:
        raise click.exceptions.Exit(EXIT_FOUND)
