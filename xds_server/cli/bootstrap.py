"""`xds-server bootstrap`."""

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from xds_server.model.catalog import Locality, is_service_name

if TYPE_CHECKING:
    from xds_server.translate.bootstrap import ChannelTls

_OF_ENVOY: Final = {
    "admin_port": "--admin-port",
    "admin_address": "--admin-address",
    "mode": "--mode",
    "load_stats": "--load-stats",
    "gateway": "--gateway",
    "min_clusters": "--min-clusters",
    "tls_server_name": "--tls-server-name",
}
_WORDS_OF_LOCALITY: Final = 3


@click.command()
@click.option("--id", "node_id", required=True, help="The client's node id, unique in the fleet.")
@click.option("--cluster", required=True, help="The client's node cluster: what kind of client it is.")
@click.option(
    "--grpc", is_flag=True, help="For gRPC without a proxy: the file that GRPC_XDS_BOOTSTRAP names."
)
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
    "--locality",
    default="",
    metavar="REGION/ZONE/SUB_ZONE",
    help="Where the client runs; what is not known is left out at the end.",
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
    help="The xDS variant of an Envoy.",
)
@click.option(
    "--load-stats",
    is_flag=True,
    help="Let the Envoy report the requests it sends; each report carries its node, 60 kB every 10 s.",
)
@click.option(
    "--gateway",
    default="",
    metavar="SERVICE",
    help="The Envoy is an instance of this gateway service of Consul: it gets the gateway's listeners.",
)
@click.option(
    "--min-clusters",
    type=click.IntRange(0, 100_000),
    help="The Envoy rejects an update that leaves fewer clusters, whoever sends it; 0: it takes any "
    "[default: 1, or 0 with --gateway].",
)
@click.option("--tls-ca", metavar="FILE", help="CA that signed xds-server's certificate; switches TLS on.")
@click.option(
    "--tls-server-name", metavar="NAME", help="Name in that certificate [default: the host of --xds]."
)
@click.option("--tls-cert", metavar="FILE", help="Certificate the client shows to xds-server.")
@click.option("--tls-key", metavar="FILE", help="Key of --tls-cert.")
@click.pass_context
def bootstrap(  # noqa: PLR0913 - one for each option
    context: click.Context,
    /,
    *,
    node_id: str,
    cluster: str,
    grpc: bool,
    servers: tuple[str, ...],
    locality: str,
    admin_address: str,
    admin_port: int,
    mode: str,
    load_stats: bool,
    gateway: str,
    min_clusters: int | None,
    **tls: str | None,
) -> None:
    """Print the bootstrap of an Envoy, or with --grpc of a gRPC client or server, as JSON.

    Paths are those of the machine the client runs on; nothing is read here.

    \b
    Examples:
      xds-server bootstrap --id edge-1 --cluster edge > envoy.json
      xds-server bootstrap --id edge-1 --cluster edge --xds 10.0.0.5:18000 --xds 10.0.0.6:18000
      xds-server bootstrap --id edge-1 --cluster edge --xds xds.example.com:18000 --tls-ca /etc/envoy/ca.pem
      xds-server bootstrap --id in-1 --cluster ingress --gateway ingress > envoy.json
      xds-server bootstrap --grpc --id order-1 --cluster order > grpc.json
    """  # noqa: D301 - click wants the character
    _check_tls(tls)
    addresses = tuple(_address(server) for server in servers)
    client: dict[str, Any] = {"id": node_id, "cluster": cluster, "servers": addresses}
    client["locality"] = _locality(locality)
    if grpc:
        _refuse_options_of_envoy(context)
        shown = _grpc(client, tls)
    else:
        channel = _tls(tls, addresses[0][0])
        admin = {"admin_address": _ip(admin_address), "admin_port": admin_port}
        variant = {"delta": mode == "delta", "load_stats": load_stats, "gateway": _service(gateway)}
        # A gateway that is closed has none, rightly.
        variant["min_clusters"] = (0 if gateway else 1) if min_clusters is None else min_clusters
        shown = _envoy({**client, **admin, **variant, "tls": channel})
    click.echo(json.dumps(shown, indent=2))


def _envoy(options: dict[str, Any]) -> dict[str, Any]:
    from xds_server.translate.bootstrap import BootstrapOptions  # noqa: PLC0415
    from xds_server.translate.bootstrap import bootstrap as make  # noqa: PLC0415
    from xds_server.translate.render import to_dict  # noqa: PLC0415

    return to_dict(make(BootstrapOptions(**options)))


def _grpc(client: dict[str, Any], tls: dict[str, str | None]) -> dict[str, Any]:
    from xds_server.translate.bootstrap_grpc import (  # noqa: PLC0415
        ChannelFiles,
        GrpcBootstrapOptions,
        grpc_bootstrap,
    )

    files = None
    if tls["tls_ca"]:
        files = ChannelFiles(
            ca_file=tls["tls_ca"], cert_file=tls["tls_cert"] or "", key_file=tls["tls_key"] or ""
        )
    return grpc_bootstrap(GrpcBootstrapOptions(**client, tls=files))


def _refuse_options_of_envoy(context: click.Context) -> None:
    for name, option in _OF_ENVOY.items():
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option} is for Envoys; leave it out with --grpc")


def _locality(text: str) -> Locality:
    words = text.split("/")
    if len(words) > _WORDS_OF_LOCALITY:
        raise click.BadParameter(f"{text!r} has more than region, zone and sub-zone", param_hint="--locality")
    return Locality(**dict(zip(("region", "zone", "sub_zone"), words, strict=False)))


def _service(text: str) -> str:
    if text and not is_service_name(text):
        raise click.BadParameter(f"{text!r} cannot be the name of a service", param_hint="--gateway")
    return text


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


def _check_tls(given: dict[str, str | None]) -> None:
    if not given["tls_ca"] and any(given.values()):
        raise click.UsageError("--tls-cert, --tls-key and --tls-server-name need --tls-ca")
    if bool(given["tls_cert"]) != bool(given["tls_key"]):
        raise click.UsageError("--tls-cert and --tls-key go together")


def _tls(given: dict[str, str | None], host: str) -> "ChannelTls | None":
    from xds_server.translate.bootstrap import ChannelTls  # noqa: PLC0415

    if not given["tls_ca"]:
        return None
    return ChannelTls(
        ca_file=given["tls_ca"],
        server_name=given["tls_server_name"] or host,
        cert_file=given["tls_cert"] or "",
        key_file=given["tls_key"] or "",
    )
