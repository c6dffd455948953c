"""The bootstrap of gRPC: all a gRPC client or server has to be told before this server tells it the rest.

It is the file that `GRPC_XDS_BOOTSTRAP` names (gRFC A27, "Bootstrap file"). All languages read the same one,
so it holds only what all of them know.
"""

from dataclasses import dataclass
from typing import Any, Final

from xds_server.model.catalog import Locality
from xds_server.translate.proxyless_listeners import SERVER_TEMPLATE

_NOT_SAID: Final = Locality()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFiles:
    """TLS of the xDS channel: paths on the gRPC client's machine, the CA's and its own certificate's.

    The name in the server's certificate is the host it is reached under; gRPC has no field for another.
    """

    ca_file: str
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcBootstrapOptions:
    """Who the gRPC client is, and where it finds this server: one or more replicas as (host, port)."""

    id: str
    cluster: str
    servers: tuple[tuple[str, int], ...]
    locality: Locality = _NOT_SAID
    tls: ChannelFiles | None = None


def grpc_bootstrap(options: GrpcBootstrapOptions) -> dict[str, Any]:
    """Give the bootstrap as JSON values.

    Of several servers a client uses the first that it reaches when it needs something, and goes back to an
    earlier one once that answers again; while it has all it needs it waits for the one it has (gRFC A71).
    `xds_v3` is for clients that would speak version 2 otherwise (gRFC A30).
    """
    credentials = _credentials(options.tls)
    return {
        "xds_servers": [
            {"server_uri": _uri(*server), "channel_creds": credentials, "server_features": ["xds_v3"]}
            for server in options.servers
        ],
        "node": _node(options),
        "server_listener_resource_name_template": SERVER_TEMPLATE,
    }


def _node(options: GrpcBootstrapOptions) -> dict[str, Any]:
    place = options.locality
    said = {"region": place.region, "zone": place.zone, "sub_zone": place.sub_zone}
    locality = {word: text for word, text in said.items() if text}
    node = {"id": options.id, "cluster": options.cluster}
    return {**node, "locality": locality} if locality else node


def _credentials(tls: ChannelFiles | None) -> list[dict[str, Any]]:
    """Give the one kind of credentials the channel may have, so that it never falls back to plain text."""
    if tls is None:
        return [{"type": "insecure"}]
    files = {"ca_certificate_file": tls.ca_file}
    if tls.cert_file:
        files |= {"certificate_file": tls.cert_file, "private_key_file": tls.key_file}
    return [{"type": "tls", "config": files}]


def _uri(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
