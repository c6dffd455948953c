"""The part of the settings file that says how a service is reached.

Each Struct is read by `reading`, and becomes the JSON Schema of `xds-server config schema`; every key has
its description here. A key that is left out stays `UNSET`, so that policies can be laid over each other.
"""

from typing import Annotated, Any, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from xds_server.model.policy import Hostnames, LastEndpoint, LbPolicy, OnWarning, Protocol
from xds_server.reading import DURATION, PATTERN

_MOST_SECONDS: Final = 86400
_EXPECTED: Final = "a duration (5s, 250ms, 1h30m, or a number of seconds)"
_EXTRA: Final = {"read": DURATION, "expected": _EXPECTED}
_SCHEMA: Final = {"pattern": PATTERN}

# Envoy counts in whole milliseconds and takes what is shorter for 0.
Timeout: TypeAlias = Annotated[float, Meta(ge=0.001, le=3600, extra=_EXTRA, extra_json_schema=_SCHEMA)]
Span: TypeAlias = Annotated[float, Meta(ge=0.001, le=_MOST_SECONDS, extra=_EXTRA, extra_json_schema=_SCHEMA)]
Pause: TypeAlias = Annotated[float, Meta(ge=0, le=_MOST_SECONDS, extra=_EXTRA, extra_json_schema=_SCHEMA)]
Wait: TypeAlias = Annotated[float, Meta(ge=1, le=600, extra=_EXTRA, extra_json_schema=_SCHEMA)]
Age: TypeAlias = Annotated[float, Meta(ge=1, le=_MOST_SECONDS, extra=_EXTRA, extra_json_schema=_SCHEMA)]
Days: TypeAlias = Annotated[float, Meta(ge=60, le=8784 * 3600, extra=_EXTRA, extra_json_schema=_SCHEMA)]
Percent: TypeAlias = Annotated[int, Meta(ge=0, le=100)]
Limit: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**32 - 1)]
# Envoy's bounds (config.cluster.v3.Cluster.LeastRequestLbConfig and RingHashLbConfig).
Choices: TypeAlias = Annotated[int, Meta(ge=2, le=2**32 - 1)]
RingSize: TypeAlias = Annotated[int, Meta(ge=1, le=8 * 1024 * 1024)]
Text: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        extra={"expected": "text without control characters, and not empty"},
    ),
]

Split: TypeAlias = Annotated[dict[Text, Count], Meta(min_length=1)]


def about(description: str, **limits: Any) -> Meta:
    """Describe a key, with further arguments of `msgspec.Meta`."""
    return Meta(description=description, **limits)


def set_fields(shape: Struct) -> dict[str, Any]:
    """Give the fields of a Struct that the file sets."""
    values = ((name, getattr(shape, name)) for name in shape.__struct_fields__)
    return {name: value for name, value in values if not isinstance(value, UnsetType)}


class HashOnShape(Struct, frozen=True, forbid_unknown_fields=True):
    """One source of the hash: exactly one of header, cookie, query and source_ip."""

    header: Annotated[Text | UnsetType, about("Hash the value of this request header.")] = UNSET
    cookie: Annotated[Text | UnsetType, about("Hash the value of this cookie.")] = UNSET
    query: Annotated[Text | UnsetType, about("Hash the value of this query parameter.")] = UNSET
    source_ip: Annotated[bool | UnsetType, about("`true`: hash the address of the client.")] = UNSET
    ttl: Annotated[
        Pause | UnsetType,
        about("Give a client without the cookie one for this long, 0s for its session. Default: none given."),
    ] = UNSET
    path: Annotated[
        Text | UnsetType, about("The path of the cookie that is given. Default: that of the request.")
    ] = UNSET
    terminal: Annotated[
        bool | UnsetType,
        about("`true`: look at no source after this one where this one was there. Default: false."),
    ] = UNSET


class RingSizeShape(Struct, frozen=True, forbid_unknown_fields=True):
    """The size of the ring of ring_hash: a larger one spreads better, and costs memory and time."""

    minimum: Annotated[RingSize | UnsetType, about("The least number of entries. Envoy: 1024.")] = UNSET
    maximum: Annotated[RingSize | UnsetType, about("The most entries. Envoy: 8388608.")] = UNSET


class OutlierShape(Struct, frozen=True, forbid_unknown_fields=True):
    """Outlier detection, field by field as in Envoy; a field that is left out has Envoy's default."""

    consecutive_5xx: Annotated[
        Count | UnsetType, about("Eject after this many 5xx answers in a row. Envoy: 5.")
    ] = UNSET
    interval: Annotated[
        Timeout | UnsetType, about("Time between two looks at the statistics. Envoy: 10s.")
    ] = UNSET
    base_ejection_time: Annotated[
        Span | UnsetType,
        about("An instance is out for this long, times the number of its ejections. Envoy: 30s."),
    ] = UNSET
    max_ejection_time: Annotated[
        Span | UnsetType,
        about("No ejection is longer than this. Envoy: 300s, or base_ejection_time if that is longer."),
    ] = UNSET
    max_ejection_time_jitter: Annotated[
        Pause | UnsetType, about("Up to this much is added to each ejection at random. Envoy: 0s.")
    ] = UNSET
    max_ejection_percent: Annotated[
        Percent | UnsetType, about("At most this share of the instances is out at a time. Envoy: 10.")
    ] = UNSET
    enforcing_consecutive_5xx: Annotated[
        Percent | UnsetType, about("Chance that consecutive_5xx really ejects. Envoy: 100.")
    ] = UNSET
    enforcing_success_rate: Annotated[
        Percent | UnsetType, about("Chance that a low success rate really ejects. Envoy: 100.")
    ] = UNSET
    success_rate_minimum_hosts: Annotated[
        Limit | UnsetType,
        about("Success rates are compared from this many instances with traffic on. Envoy: 5."),
    ] = UNSET
    success_rate_request_volume: Annotated[
        Limit | UnsetType,
        about("An instance with fewer requests in an interval is not compared. Envoy: 100."),
    ] = UNSET
    success_rate_stdev_factor: Annotated[
        Limit | UnsetType,
        about("Eject below the mean success rate minus this many thousandths of the deviation. Envoy: 1900."),
    ] = UNSET
    consecutive_gateway_failure: Annotated[
        Count | UnsetType, about("Eject after this many 502, 503 or 504 in a row. Envoy: 5.")
    ] = UNSET
    enforcing_consecutive_gateway_failure: Annotated[
        Percent | UnsetType, about("Chance that consecutive_gateway_failure really ejects. Envoy: 0.")
    ] = UNSET
    split_external_local_origin_errors: Annotated[
        bool | UnsetType,
        about("Count connection errors apart from the answers of the service. Envoy: false."),
    ] = UNSET
    consecutive_local_origin_failure: Annotated[
        Count | UnsetType, about("With the split: eject after this many connection errors. Envoy: 5.")
    ] = UNSET
    enforcing_consecutive_local_origin_failure: Annotated[
        Percent | UnsetType, about("Chance that consecutive_local_origin_failure really ejects. Envoy: 100.")
    ] = UNSET
    enforcing_local_origin_success_rate: Annotated[
        Percent | UnsetType,
        about("With the split: chance that a low connection success rate ejects. Envoy: 100."),
    ] = UNSET
    failure_percentage_threshold: Annotated[
        Percent | UnsetType, about("Eject an instance with this share of failures. Envoy: 85.")
    ] = UNSET
    enforcing_failure_percentage: Annotated[
        Percent | UnsetType, about("Chance that failure_percentage_threshold really ejects. Envoy: 0.")
    ] = UNSET
    enforcing_failure_percentage_local_origin: Annotated[
        Percent | UnsetType, about("With the split: the same for connection errors. Envoy: 0.")
    ] = UNSET
    failure_percentage_minimum_hosts: Annotated[
        Limit | UnsetType, about("Failure shares are looked at from this many instances on. Envoy: 5.")
    ] = UNSET
    failure_percentage_request_volume: Annotated[
        Limit | UnsetType, about("An instance with fewer requests in an interval is left alone. Envoy: 50.")
    ] = UNSET
    successful_active_health_check_uneject_host: Annotated[
        bool | UnsetType, about("A passed active health check ends the ejection. Envoy: true.")
    ] = UNSET
    always_eject_one_host: Annotated[
        bool | UnsetType,
        about("Eject one instance even where max_ejection_percent forbids it. Default: true."),
    ] = UNSET


class BreakersShape(Struct, frozen=True, forbid_unknown_fields=True):
    """Circuit breakers of Envoy's default priority; a field that is left out has Envoy's default."""

    max_connections: Annotated[
        Limit | UnsetType, about("Open connections to all instances. Envoy: 1024.")
    ] = UNSET
    max_pending_requests: Annotated[
        Limit | UnsetType, about("Requests that wait for a connection. Envoy: 1024.")
    ] = UNSET
    max_requests: Annotated[Limit | UnsetType, about("Requests under way. Envoy: 1024.")] = UNSET
    max_retries: Annotated[Limit | UnsetType, about("Retries under way. Envoy: 3.")] = UNSET
    max_connection_pools: Annotated[
        Limit | UnsetType, about("Connection pools at a time. Envoy: no limit.")
    ] = UNSET


class UpstreamTlsShape(Struct, frozen=True, forbid_unknown_fields=True):
    """TLS to the instances; never without a CA and a name to check."""

    ca: Annotated[Text, about("The secret whose CA must have signed the instance's certificate. Required.")]
    sans: Annotated[
        tuple[Text, ...],
        about("The instance's certificate must carry one of these DNS names. Required.", min_length=1),
    ]
    sni: Annotated[Text | UnsetType, about("The server name to ask for.")] = UNSET
    certificate: Annotated[Text | UnsetType, about("The secret to show as our own certificate.")] = UNSET


class ServiceShape(Struct, frozen=True, forbid_unknown_fields=True):
    """How a service is reached."""

    protocol: Annotated[
        Protocol | UnsetType, about("What the instances speak: http1, http2, grpc or tcp. Default: http1.")
    ] = UNSET
    connect_timeout: Annotated[
        Timeout | UnsetType, about("How long a new connection may take. Default: 5s.")
    ] = UNSET
    lb_policy: Annotated[LbPolicy | UnsetType, about("How an instance is picked. Default: round_robin.")] = (
        UNSET
    )
    hash_on: Annotated[
        tuple[HashOnShape, ...] | UnsetType,
        about("What ring_hash and maglev hash, all of it together. Default: the client's address."),
    ] = UNSET
    ring_size: Annotated[
        RingSizeShape | UnsetType, about("The size of the ring of ring_hash. Default: Envoy's values.")
    ] = UNSET
    choices: Annotated[
        Choices | UnsetType, about("How many instances least_request compares. Default: 2, as Envoy's.")
    ] = UNSET
    request_timeout: Annotated[
        Pause | UnsetType,
        about("How long a whole request may take, 0s for no limit. Default: 15s, for gRPC no limit."),
    ] = UNSET
    panic_threshold: Annotated[
        Percent | UnsetType,
        about("With a smaller share of healthy instances than this percentage, all are used. Default: 1."),
    ] = UNSET
    on_warning: Annotated[
        OnWarning | UnsetType,
        about(
            "What a warning check means: weight, the weight for warnings, or degraded, used only when too "
            "few others are healthy. Default: weight."
        ),
    ] = UNSET
    hostnames: Annotated[
        Hostnames | UnsetType,
        about(
            "What becomes of an instance whose address is a host name: drop, or resolve, by Envoy. "
            "Default: drop."
        ),
    ] = UNSET
    last_endpoint: Annotated[
        LastEndpoint | UnsetType,
        about(
            "What becomes of a service that loses its last instance: publish, it goes at once; hold, its "
            "last ones stay for `guards.last_endpoint_hold`; keep, they stay until there are others. "
            "Default: publish."
        ),
    ] = UNSET
    outlier_detection: Annotated[
        OutlierShape | bool | UnsetType,
        about("Eject instances that fail; `false` switches it off. Default: on, with Envoy's values."),
    ] = UNSET
    circuit_breakers: Annotated[
        BreakersShape | UnsetType, about("Limits on what is under way. Default: Envoy's values.")
    ] = UNSET
    tls: Annotated[
        UpstreamTlsShape | bool | UnsetType,
        about("TLS to the instances; `false` switches it off. Default: false."),
    ] = UNSET
