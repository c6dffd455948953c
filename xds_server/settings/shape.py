"""What the settings file may look like, as Structs.

`service_shape` holds the part about services, `server_shape` that about our own servers, `consul_shape` that
about Consul.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from xds_server.settings.consul_shape import ConsulShape
from xds_server.settings.gateways_shape import GatewayShape
from xds_server.settings.guards import GuardsShape
from xds_server.settings.pace import PaceShape
from xds_server.settings.registrations_shape import RegistrationsShape
from xds_server.settings.server_shape import MOST_WORKERS, AdminShape, XdsShape
from xds_server.settings.service_shape import Age, Days, ServiceShape, Split, Text, about

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
LogForm: TypeAlias = Literal["auto", "text", "json"]
_Discovery: TypeAlias = Annotated[
    Literal["all", "on_demand"] | UnsetType,
    about("http: all, or on_demand: Envoy holds only the services in use. Default: all."),
]
_Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]


class LogShape(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged, and how."""

    level: Annotated[
        LogLevel,
        about("The least level that is written: debug, info, warning or error. Default: info."),
    ] = "info"
    form: Annotated[
        LogForm,
        about("text, json, or auto: text on a terminal, JSON elsewhere. Default: auto."),
    ] = "auto"


class DownstreamTlsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """TLS that a listener terminates."""

    certificate: Annotated[Text, about("The secret with certificate and key. Required.")]
    client_ca: Annotated[
        Text | UnsetType,
        about("Clients must show a certificate signed by this secret's CA. Default: none asked."),
    ] = UNSET


class RouteShape(Struct, frozen=True, forbid_unknown_fields=True):
    """Where requests go: exactly one of `service` and `split`."""

    hosts: Annotated[
        tuple[Text, ...],
        about("Host names: plain, `*.example.com`, or `*` for any. Default: any.", min_length=1),
    ] = ("*",)
    path_prefix: Annotated[Text, about("The path begins with this. Default: /.")] = "/"
    service: Annotated[Text | UnsetType, about("The service that takes the requests.")] = UNSET
    split: Annotated[Split | UnsetType, about("Services and their weights, relative to the sum.")] = UNSET


class ListenerShape(Struct, frozen=True, forbid_unknown_fields=True):
    """A listener of every Envoy."""

    name: Annotated[Text, about("A name of its own: letters, digits, dots, dashes, underscores. Required.")]
    address: Annotated[Text, about("`IP:PORT` that Envoy listens on. Required.")]
    protocol: Annotated[
        Literal["http", "tcp"], about("What flows through it: http or tcp. Default: http.")
    ] = "http"
    tls: Annotated[DownstreamTlsShape | UnsetType, about("Terminate TLS. Default: plain.")] = UNSET
    all_services: Annotated[bool, about("http: also leads to every service. Default: false.")] = False
    discovery: _Discovery = UNSET
    ttl: Annotated[
        Age | UnsetType,
        about("An Envoy cut off from this server for so long closes the listener (delta). Default: never."),
    ] = UNSET
    routes: Annotated[
        tuple[RouteShape, ...],
        about("http: where requests go; of a host's routes the longest prefix wins. Default: []."),
    ] = ()
    service: Annotated[Text | UnsetType, about("tcp: the service that takes the connections.")] = UNSET
    split: Annotated[Split | UnsetType, about("tcp: services and their weights.")] = UNSET


class DefaultListenerShape(Struct, frozen=True, forbid_unknown_fields=True):
    """The listener that leads to every HTTP service."""

    address: Annotated[Text, about("`IP:PORT` that Envoy listens on. Default: 0.0.0.0:10000.")] = (
        "0.0.0.0:10000"
    )
    discovery: _Discovery = UNSET


class SecretShape(Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate with its key, a CA, or both."""

    cert_file: Annotated[Text | UnsetType, about("PEM file of the certificate chain, leaf first.")] = UNSET
    key_file: Annotated[Text | UnsetType, about("PEM file of its private key.")] = UNSET
    ca_file: Annotated[Text | UnsetType, about("PEM file of the CAs to trust.")] = UNSET


class EndpointsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """Which addresses and ports an instance may have."""

    allow: Annotated[
        tuple[Text, ...], about("If given, only addresses in these networks (CIDR). Default: all.")
    ] = ()
    deny: Annotated[tuple[Text, ...], about("No addresses in these networks (CIDR). Default: none.")] = ()
    allow_ports: Annotated[
        tuple[_Port, ...], about("Ports to allow although Consul or xds-server uses them. Default: none.")
    ] = ()
    allow_loopback: Annotated[
        Literal["auto"] | bool,
        about("Whether loopback addresses may be used; auto: if Consul is, or for a file. Default: auto."),
    ] = "auto"


class FileShape(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings file of xds-server."""

    consul: Annotated[ConsulShape, about("How Consul is reached.")] = ConsulShape()
    catalog: Annotated[
        Text | UnsetType, about("Read the catalog from this file instead of Consul. Default: Consul.")
    ] = UNSET
    state_dir: Annotated[
        Text | UnsetType,
        about(
            "Directory in which the last good catalog is kept, to be served after a start without Consul; "
            "off: nowhere. Default: $STATE_DIRECTORY, else off."
        ),
    ] = UNSET
    state_max_age: Annotated[Days, about("An older catalog is not served after a start. Default: 168h.")] = (
        604800.0
    )
    xds: Annotated[XdsShape, about("The server that Envoy connects to.")] = XdsShape()
    workers: Annotated[
        int,
        about(
            "Processes that serve the xDS streams, with one more that reads the sources; 1: one process does "
            "it all. Default: 1.",
            ge=1,
            le=MOST_WORKERS,
        ),
    ] = 1
    admin: Annotated[AdminShape, about("The server with health, metrics and problems.")] = AdminShape()
    log: Annotated[LogShape, about("What is logged, and how.")] = LogShape()
    defaults: Annotated[ServiceShape, about("How every service is reached.")] = ServiceShape()
    services: Annotated[
        dict[Text, ServiceShape], about("How one service is reached, laid over `defaults` key by key.")
    ] = {}
    default_listener: Annotated[
        DefaultListenerShape | bool,
        about("The HTTP listener that leads to every service; `false` for none. Default: on."),
    ] = DefaultListenerShape()
    listeners: Annotated[tuple[ListenerShape, ...], about("Listeners of every Envoy. Default: [].")] = ()
    secrets: Annotated[
        dict[Text, SecretShape], about("Certificates, keys and CAs by name, read again when they change.")
    ] = {}
    gateways: Annotated[
        dict[Text, GatewayShape], about("What is added to gateways of Consul's config entries, by name.")
    ] = {}
    registrations: Annotated[
        RegistrationsShape, about("What services may decide in the Meta and tags of their registrations.")
    ] = RegistrationsShape()
    guards: Annotated[GuardsShape, about("What of a change is not believed at once.")] = GuardsShape()
    pace: Annotated[PaceShape, about("When changes are acted on.")] = PaceShape()
    endpoints: Annotated[EndpointsShape, about("Which addresses and ports an instance may have.")] = (
        EndpointsShape()
    )
    preflight: Annotated[
        Literal["off", "warn", "block"],
        about(
            "Show changed listeners, routes and clusters to an Envoy here before they are served: off; warn: "
            "tell what it would not load; block: withhold that as well. Default: off."
        ),
    ] = "off"
    envoy: Annotated[
        Text, about("The Envoy that `preflight` asks: a path, or a name on PATH. Default: envoy.")
    ] = "envoy"
    hidden_services: Annotated[
        tuple[Text, ...], about("Services that are not served. Default: [consul, xds-server].")
    ] = ("consul", "xds-server")


_REF: Final = "#/$defs/{name}"


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of the settings file; every key has its description."""
    (_, definitions) = msgspec.json.schema_components([FileShape], ref_template=_REF)
    top = definitions.pop(FileShape.__name__)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "Settings of xds-server",
        "$defs": definitions,
    }
    allow_duration_texts(schema)
    return schema


def allow_duration_texts(node: Any) -> None:
    """Let every duration of a schema be text as well: msgspec describes it by its Python type, a number."""
    if isinstance(node, dict):
        if node.get("type") == "number" and "pattern" in node:
            node["type"] = ["number", "string"]
        for value in node.values():
            allow_duration_texts(value)
    elif isinstance(node, list):
        for value in node:
            allow_duration_texts(value)
