"""The part of the settings file about our own two servers: xDS and admin."""

from typing import Annotated, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from xds_server.settings.service_shape import Age, Pause, Text, about

MOST_WORKERS: Final = 64
"""More processes than this serve nobody better: each holds all that is served."""

_SIZE_PATTERN: Final = r"^[1-9][0-9]{0,9}(KiB|MiB)$"
Size: TypeAlias = Annotated[
    str, Meta(pattern=_SIZE_PATTERN, extra={"expected": "a size such as 512KiB or 16MiB"})
]


class ServerTlsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """TLS of one of our own servers."""

    cert_file: Annotated[Text, about("PEM file of the certificate chain, leaf first. Required.")]
    key_file: Annotated[Text, about("PEM file of its private key. Required.")]
    client_ca_file: Annotated[
        Text | UnsetType,
        about("Clients must show a certificate signed by a CA in this PEM file. Default: none asked."),
    ] = UNSET


class XdsTlsShape(ServerTlsShape, frozen=True, forbid_unknown_fields=True):
    """TLS of the server that Envoy connects to."""

    match_node_id: Annotated[
        bool,
        about(
            "Whether node.id must be a DNS or URI name of the client's certificate, or the last part of its "
            "SPIFFE id; needs client_ca_file. Default: false."
        ),
    ] = False


class XdsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """The server that Envoy connects to."""

    address: Annotated[
        Text, about("`HOST:PORT` to listen on; port 0 takes a free one. Default: 127.0.0.1:18000.")
    ] = "127.0.0.1:18000"
    tls: Annotated[XdsTlsShape | UnsetType, about("Serve with TLS. Default: without.")] = UNSET
    max_streams: Annotated[
        int,
        about("Streams that may be open at once; more are refused. Default: 10000.", ge=1, le=1_000_000),
    ] = 10_000
    max_streams_per_address: Annotated[
        int,
        about(
            "Streams that may be open from one peer address; mind proxies and NAT. Default: 5000.",
            ge=1,
            le=1_000_000,
        ),
    ] = 5_000
    max_streams_per_identity: Annotated[
        int,
        about(
            "Streams that may be open with the same names in the client's certificate. Default: 5000.",
            ge=1,
            le=1_000_000,
        ),
    ] = 5_000
    max_connection_age: Annotated[
        Age,
        about(
            "A connection is closed at this age, give or take a tenth, so that clients spread over the "
            "servers there are. Default: 30m."
        ),
    ] = 1800.0
    drain_time: Annotated[
        Pause,
        about("At most this long the open streams are ended one after another at a stop. Default: 3s."),
    ] = 3.0
    max_request_size: Annotated[
        Size,
        about("A larger request ends its stream; 64KiB to 1024MiB. Default: 16MiB."),
    ] = "16MiB"


class AdminShape(Struct, frozen=True, forbid_unknown_fields=True):
    """The server with health, metrics and problems."""

    address: Annotated[
        Text, about("`HOST:PORT` to listen on; port 0 takes a free one. Default: 127.0.0.1:18001.")
    ] = "127.0.0.1:18001"
    tls: Annotated[ServerTlsShape | UnsetType, about("Serve with TLS. Default: without.")] = UNSET
    socket: Annotated[
        Text,
        about(
            "The unix socket on which an operator may also act; off: none, auto: see there. Default: auto."
        ),
    ] = "auto"
    token_file: Annotated[
        Text | UnsetType,
        about(
            "File with a token (mode 0600, 16 characters or more) with which one may act over TCP; read "
            "again each time. Default: none."
        ),
    ] = UNSET
