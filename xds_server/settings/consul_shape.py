"""The part of the settings file about Consul."""

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType

from xds_server.settings.service_shape import Age, Pause, Span, Text, Wait, about


class ConsulTlsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """TLS to Consul; used when the address begins with `https://`."""

    ca_file: Annotated[Text | UnsetType, about("PEM file of the CAs to trust. Default: the system's.")] = (
        UNSET
    )
    ca_path: Annotated[
        Text | UnsetType, about("Directory of such files; not read where there is a ca_file. Default: none.")
    ] = UNSET
    cert_file: Annotated[
        Text | UnsetType, about("PEM file of our certificate for Consul. Default: none.")
    ] = UNSET
    key_file: Annotated[Text | UnsetType, about("PEM file of its private key. Default: none.")] = UNSET
    server_name: Annotated[
        Text | UnsetType, about("The name Consul's certificate must carry. Default: the address's host.")
    ] = UNSET
    verify: Annotated[bool, about("Whether Consul's certificate is checked. Default: true.")] = True


class ConsulLoginShape(Struct, frozen=True, forbid_unknown_fields=True):
    """A token by login with an auth method."""

    auth_method: Annotated[Text, about("The name of Consul's auth method. Required.")]
    bearer_token_file: Annotated[
        Text,
        about("File that holds what proves who we are, mostly a JWT; read at every login. Required."),
    ]
    meta: Annotated[
        dict[Text, Text], about("Words that Consul notes with each token it grants. Default: {}.")
    ] = {}


class ConsulShape(Struct, frozen=True, forbid_unknown_fields=True):
    """How Consul is reached."""

    address: Annotated[
        Text | Annotated[tuple[Text, ...], about("Several, tried in turn.", min_length=1, max_length=16)],
        about(
            "`HOST:PORT`, `http://`, `https://` with an optional path prefix, or `unix:///PATH`; or a list "
            "of agents of one cluster, tried in turn. Default: http://127.0.0.1:8500."
        ),
    ] = "http://127.0.0.1:8500"
    connections: Annotated[
        int,
        about(
            "At most so many connections to an agent; of 200 that Consul allows this machine by default. "
            "Default: 100.",
            ge=10,
            le=10_000,
        ),
    ] = 100
    token_file: Annotated[
        Text | UnsetType, about("File that holds the ACL token; read again when it changes. Default: none.")
    ] = UNSET
    login: Annotated[
        ConsulLoginShape | UnsetType,
        about("Get the ACL token by login, and a new one before it expires. Default: none."),
    ] = UNSET
    auth_file: Annotated[
        Text | UnsetType,
        about(
            "File that holds `USER:PASSWORD` for a proxy before Consul; read as token_file. Default: none."
        ),
    ] = UNSET
    datacenter: Annotated[Text | UnsetType, about("The datacenter to read. Default: the agent's own.")] = (
        UNSET
    )
    namespace: Annotated[
        Text | UnsetType, about("The namespace to read (Consul Enterprise). Default: the token's.")
    ] = UNSET
    partition: Annotated[
        Text | UnsetType, about("The admin partition to read (Consul Enterprise). Default: the agent's own.")
    ] = UNSET
    wait: Annotated[Wait, about("How long Consul may hold a query that has no news. Default: 1m.")] = 60.0
    requests_per_second: Annotated[
        int, about("At most so many queries begin in a second, all in all. Default: 100.", ge=1, le=10_000)
    ] = 100
    sweep: Annotated[Age, about("Every service is read at least once in this time. Default: 10m.")] = 600.0
    stale: Annotated[
        bool, about("Whether any Consul server may answer, not only the leader. Default: true.")
    ] = True
    max_stale: Annotated[
        Span,
        about(
            "An answer that takes something away is not believed of a server that heard of its leader longer "
            "ago. Default: 10s."
        ),
    ] = 10.0
    cached: Annotated[bool, about("Whether the agent may answer from its cache. Default: false.")] = False
    max_age: Annotated[
        Span | UnsetType,
        about(
            "How old a cached answer may be; an older one that takes something away is not believed. "
            "Default: 10s for what takes something away, else the agent's own."
        ),
    ] = UNSET
    removal_hold: Annotated[
        Pause,
        about("How long what is missing after Consul's index went backwards is kept. Default: 5m."),
    ] = 300.0
    config_entries: Annotated[
        bool, about("Whether Consul's config entries are read: routers, splitters, gateways. Default: true.")
    ] = True
    datacenters: Annotated[
        tuple[Text, ...],
        about(
            "Other datacenters, the nearest first: their instances take over where ours has no healthy one. "
            "Default: [].",
            max_length=16,
        ),
    ] = ()
    remote_keep: Annotated[
        Pause,
        about("For how long the instances of a datacenter out of reach are taken for healthy. Default: 2m."),
    ] = 120.0
    register: Annotated[
        bool, about("Whether this server registers itself in Consul as `xds-server`. Default: true.")
    ] = True
    advertise: Annotated[
        Text | UnsetType,
        about("`IP:PORT` at which proxies reach this server. Default: the address it listens on."),
    ] = UNSET
    tls: Annotated[ConsulTlsShape, about("TLS to Consul.")] = ConsulTlsShape()
