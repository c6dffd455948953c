"""`xds-server demo`."""

from typing import Any

import click

_PORT = click.IntRange(1, 65535)


@click.command()
@click.option(
    "--port", default=10000, show_default=True, type=_PORT, help="Envoy's listener, where requests go."
)
@click.option("--xds-port", default=18000, show_default=True, type=_PORT, help="xds-server's xDS port.")
@click.option("--admin-port", default=18001, show_default=True, type=_PORT, help="xds-server's admin port.")
@click.option("--envoy-admin-port", default=19000, show_default=True, type=_PORT, help="Envoy's admin port.")
@click.option("--consul-port", default=8500, show_default=True, type=_PORT, help="Consul's HTTP port.")
@click.option("--no-consul", is_flag=True, help="Read the catalog from a file instead of Consul.")
@click.option("--once", is_flag=True, help="End as soon as requests are answered through Envoy.")
def demo(*, no_consul: bool, **given: Any) -> None:
    """Run a real Consul, a real Envoy, four services and xds-server on this machine.

    Everything listens on 127.0.0.1 and ends with Ctrl-C. Consul is $CONSUL_BIN, `consul` on PATH or
    .tools/bin/consul; Envoy is $ENVOY_BIN, $ENVOY_PATH, `envoy` on PATH or the one under .tools.

    \b
    Examples:
      xds-server demo                    start it, and read what to try
      xds-server demo --port 10001       another port for Envoy's listener
      xds-server demo --no-consul        with a catalog file
      xds-server demo --once             start, check that requests are answered, end

    Exit codes: 0 ended as asked, 1 a part is missing or failed, 2 a port is taken.
    """  # noqa: D301 - click wants the character
    # Only this command needs them, and every other one starts faster without.
    from rich.console import Console  # noqa: PLC0415

    from xds_server.cli.options import EXIT_FOUND, EXIT_USAGE, fail  # noqa: PLC0415
    from xds_server.demo.errors import DemoError, PortsTakenError  # noqa: PLC0415
    from xds_server.demo.run import run_demo  # noqa: PLC0415
    from xds_server.demo.story import DemoOptions  # noqa: PLC0415

    try:
        run_demo(DemoOptions(use_consul=not no_consul, **given), Console())
    except DemoError as error:
        fail(str(error), EXIT_USAGE if isinstance(error, PortsTakenError) else EXIT_FOUND)
