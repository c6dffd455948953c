"""Problems are values: what was left out, why, and which object caused it.

An exception is for a bug or for the world; a bad registration, a route to nowhere or an expired
certificate is a Problem that travels beside the result to `/problems`, the CLI and the metrics.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """The stable code of each kind of problem; `docs/reference/problems.md` has a heading for each."""

    SERVICE_NAME = "service-name"
    SERVICE_UNREADABLE = "service-unreadable"
    SERVICE_NAME_CLASH = "service-name-clash"
    SERVICE_ROW = "service-row"
    CONFIG_ENTRY = "config-entry"
    CONFIG_UNREADABLE = "config-unreadable"
    DISCOVERY_CHAIN = "discovery-chain"
    ENDPOINT_ADDRESS = "endpoint-address"
    ENDPOINT_ADDRESS_DENIED = "endpoint-address-denied"
    ENDPOINT_PORT = "endpoint-port"
    ENDPOINT_PORT_DENIED = "endpoint-port-denied"
    ENDPOINT_DUPLICATE = "endpoint-duplicate"
    ENDPOINT_WEIGHT = "endpoint-weight"
    SUBSET_FILTER = "subset-filter"
    DOMAIN_TAKEN = "domain-taken"
    ROUTE_UNKNOWN_SERVICE = "route-unknown-service"
    ROUTE_NOT_HTTP = "route-not-http"
    LISTENER_UNKNOWN_SERVICE = "listener-unknown-service"
    SECRET_MISSING = "secret-missing"  # noqa: S105 - the code of a problem
    SECRET_INVALID = "secret-invalid"  # noqa: S105 - the code of a problem
    GATEWAY_CLOSED = "gateway-closed"
    GATEWAY_LINK = "gateway-link"
    GRPC_TLS = "grpc-tls"
    GRPC_ROUTE_TARGET = "grpc-route-target"
    REFERENCE_MISSING = "reference-missing"
    ENDPOINT_INVALID = "endpoint-invalid"
    RESOURCE_INVALID = "resource-invalid"
    PREFLIGHT_REFUSED = "preflight-refused"
    RESOURCE_REJECTED = "resource-rejected"
    TRANSLATION_FAILED = "translation-failed"
    WORD_UNKNOWN = "word-unknown"
    WORD_INVALID = "word-invalid"
    WORD_CONFLICT = "word-conflict"
    DIALECT_UNSUPPORTED = "dialect-unsupported"
    ROUTE_DENIED = "route-denied"
    ROUTE_CONTESTED = "route-contested"
    ROUTE_UNKNOWN_LISTENER = "route-unknown-listener"
    HELD_BACK = "held-back"
    CLIENT_LAGGING = "client-lagging"
    SNAPSHOT_BEHIND = "snapshot-behind"
    WORKER_DOWN = "worker-down"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One thing that was left out or changed, with its cause.

    `source` names the object that has to be mended, e.g. `consul service "user" instance "user-1" on
    node "n1"` or `xds-server.yaml listeners[0].routes[2]`. `index` is Consul's ModifyIndex of that object, 0
    where there is none; it does not take part in comparison, as it moves without the problem changing.
    """

    code: Code
    source: str
    sentence: str
    index: int = field(default=0, compare=False)
