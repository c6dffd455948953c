"""`xds-server bootstrap`."""

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from xds_server.translate.bootstrap import ChannelTls


@click.command()
@click.option("--id", "node_id", required=True, help="The Envoy's node id, unique in the fleet.")
@click.option("--cluster", required=True, help="The Envoy's node cluster: what kind of proxy it is.")
@click.option(
    "--xds",
    "servers",
    multiple=True,
    default=("127.0.0.1:18000",),
    show_default=True,
    metavar="HOST:PORT",
    help="An xds-server; give it again for each replica.",
)
@click.option(
    "--admin-port",
    default=19000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Envoy's admin port.",
)
@click.option(
    "--admin-address",
    default="127.0.0.1",
    show_default=True,
    metavar="IP",
    help="Where Envoy's admin listens; anyone who reaches it controls the Envoy.",
)
@click.option(
    "--mode",
    default="delta",
    show_default=True,
    type=click.Choice(["delta", "sotw"]),
    help="The xDS variant.",
)
@click.option("--tls-ca", metavar="FILE", help="CA that signed xds-server's certificate; switches TLS on.")
@click.option(
    "--tls-server-name", metavar="NAME", help="Name in that certificate [default: the host of --xds]."
)
@click.option("--tls-cert", metavar="FILE", help="Certificate the Envoy shows to xds-server.")
@click.option("--tls-key", metavar="FILE", help="Key of --tls-cert.")
def bootstrap(
    *,
    node_id: str,
    cluster: str,
    servers: tuple[str, ...],
    admin_address: str,
    admin_port: int,
    mode: str,
    **tls: str | None,
) -> None:
    """Print the bootstrap of an Envoy, as JSON.

    Paths are those of the machine the Envoy runs on; nothing is read here.

    \b
    Examples:
      xds-server bootstrap --id edge-1 --cluster edge > envoy.json
      xds-server bootstrap --id edge-1 --cluster edge --xds 10.0.0.5:18000 --xds 10.0.0.6:18000
      xds-server bootstrap --id edge-1 --cluster edge --xds xds.example.com:18000 --tls-ca /etc/envoy/ca.pem
    """  # noqa: D301 - click wants the character
    from xds_server.translate.bootstrap import BootstrapOptions  # noqa: PLC0415
    from xds_server.translate.bootstrap import bootstrap as make  # noqa: PLC0415
    from xds_server.translate.render import to_dict  # noqa: PLC0415

    addresses = tuple(_address(server) for server in servers)
    options = BootstrapOptions(
        id=node_id,
        cluster=cluster,
        servers=addresses,
        admin_address=_ip(admin_address),
        admin_port=admin_port,
        delta=mode == "delta",
        tls=_tls(tls, addresses[0][0]),
    )
    click.echo(json.dumps(to_dict(make(options)), indent=2))


def _ip(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IP address", param_hint="--admin-address") from None
    return text


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:  # noqa: PLR2004
        raise click.BadParameter(f"{text!r} is not HOST:PORT, as in 10.0.0.5:18000", param_hint="--xds")
    return host.strip("[]"), int(port)


def _tls(given: dict[str, str | None], host: str) -> "ChannelTls | None":
    from xds_server.translate.bootstrap import ChannelTls  # noqa: PLC0415

    if not given["tls_ca"]:
        if any(given.values()):
            raise click.UsageError("--tls-cert, --tls-key and --tls-server-name need --tls-ca")
        return None
    if bool(given["tls_cert"]) != bool(given["tls_key"]):
        raise click.UsageError("--tls-cert and --tls-key go together")
    return ChannelTls(
        ca_file=given["tls_ca"],
        server_name=given["tls_server_name"] or host,
        cert_file=given["tls_cert"] or "",
        key_file=given["tls_key"] or "",
    )
