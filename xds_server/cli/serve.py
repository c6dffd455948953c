"""`xds-server serve`."""

import asyncio
import os
from functools import partial

import click

from xds_server.cli.options import EXIT_FOUND, fail, load_settings, read_settings


@click.command()
@click.option("--config", metavar="FILE", help="Settings file (YAML) [default: $XDS_CONFIG, else none].")
@click.option("--listen", metavar="HOST:PORT", help="Where Envoys connect [default: 127.0.0.1:18000].")
@click.option("--admin", metavar="HOST:PORT", help="Health, metrics, problems [default: 127.0.0.1:18001].")
@click.option(
    "--consul", metavar="URL", help="Consul agent [default: $CONSUL_HTTP_ADDR, else 127.0.0.1:8500]."
)
@click.option("--catalog", metavar="FILE", help="Read the catalog from a YAML file instead of Consul.")
@click.option("--state-dir", metavar="DIR", help="Keep the last good catalog here [default: off].")
@click.option("--workers", metavar="N", help="Processes that serve the streams [default: 1].")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]")
@click.option("--log-form", type=click.Choice(["auto", "text", "json"]), help="[default: auto]")
def serve(*, config: str | None, **flags: str | None) -> None:
    """Serve the catalog to Envoy over ADS.

    Without any option it finds Consul where Consul's own tools do, and gives every Envoy one HTTP listener on
    port 10000 that leads to each service. SIGTERM or Ctrl-C ends it.

    \b
    Examples:
      xds-server serve
      xds-server serve --config xds-server.yaml
      xds-server serve --catalog catalog.yaml --listen 127.0.0.1:18000
      CONSUL_HTTP_ADDR=https://consul.example.com:8501 CONSUL_HTTP_TOKEN_FILE=token xds-server serve

    Exit codes: 0 ended as asked, 1 it could not start, 2 the settings are not right.
    """  # noqa: D301 - click wants the character
    # Lines of gRPC's own would stand between ours, one for each failed handshake of whoever knocks.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from xds_server.app import serve as app  # noqa: PLC0415 - gRPC is imported by this command only
    from xds_server.telemetry import configure_logging  # noqa: PLC0415

    settings = load_settings(config, flags)
    configure_logging(level=settings.log.level, form=settings.log.form)
    try:
        asyncio.run(app.serve(settings, partial(read_settings, config, flags)))
    except app.StartError as error:
        fail(str(error), EXIT_FOUND)
