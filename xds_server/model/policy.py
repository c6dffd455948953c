"""What the operator wants: the meaning of the settings file, free of how it was written.

`None` in a field means: leave it to Envoy's default. Durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from xds_server.model.route import ANY_REQUEST, AS_IT_IS, RouteMatch, Treatment

IpNetwork: TypeAlias = str


class Protocol(StrEnum):
    """What an instance of a service speaks."""

    HTTP1 = "http1"
    HTTP2 = "http2"
    GRPC = "grpc"
    TCP = "tcp"


class LbPolicy(StrEnum):
    """How Envoy picks an instance (Envoy, "Supported load balancers")."""

    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    LEAST_REQUEST = "least_request"
    RING_HASH = "ring_hash"
    MAGLEV = "maglev"


class HashKind(StrEnum):
    """What the hash of a ring hash or maglev pick is taken from."""

    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    SOURCE_IP = "source_ip"


@dataclass(frozen=True, slots=True, kw_only=True)
class HashOn:
    """One source of the hash; `name` is the header's, cookie's or parameter's, empty for the source address.

    With a `ttl` (seconds, 0 for the session) a cookie is set where there is none, for the path `path`. After
    a `terminal` source that was there no other is looked at.
    """

    kind: HashKind
    name: str = ""
    ttl: float | None = None
    path: str = ""
    terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierDetection:
    """Envoy's `OutlierDetection`, field by field; percentages are 0 to 100, durations seconds.

    By default Envoy ejects 10 % of the instances at most, which is none of fewer than ten; hence
    `always_eject_one_host`.
    """

    consecutive_5xx: int | None = None
    interval: float | None = None
    base_ejection_time: float | None = None
    max_ejection_time: float | None = None
    max_ejection_time_jitter: float | None = None
    max_ejection_percent: int | None = None
    enforcing_consecutive_5xx: int | None = None
    enforcing_success_rate: int | None = None
    success_rate_minimum_hosts: int | None = None
    success_rate_request_volume: int | None = None
    success_rate_stdev_factor: int | None = None
    consecutive_gateway_failure: int | None = None
    enforcing_consecutive_gateway_failure: int | None = None
    split_external_local_origin_errors: bool | None = None
    consecutive_local_origin_failure: int | None = None
    enforcing_consecutive_local_origin_failure: int | None = None
    enforcing_local_origin_success_rate: int | None = None
    failure_percentage_threshold: int | None = None
    enforcing_failure_percentage: int | None = None
    enforcing_failure_percentage_local_origin: int | None = None
    failure_percentage_minimum_hosts: int | None = None
    failure_percentage_request_volume: int | None = None
    successful_active_health_check_uneject_host: bool | None = None
    always_eject_one_host: bool | None = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakers:
    """Envoy's `CircuitBreakers.Thresholds` of the default priority."""

    max_connections: int | None = None
    max_pending_requests: int | None = None
    max_requests: int | None = None
    max_retries: int | None = None
    max_connection_pools: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """TLS from the proxy to the instances of a service.

    `ca` and `certificate` name secrets; the instance's certificate must carry one of the DNS names `sans`.
    An upstream is never trusted without both a CA and a name (CVE-2021-32574).
    """

    ca: str
    sans: tuple[str, ...]
    sni: str = ""
    certificate: str = ""


class OnWarning(StrEnum):
    """What a warning check means: the weight for warnings, or the state DEGRADED, used when it gets tight."""

    WEIGHT = "weight"
    DEGRADED = "degraded"


class Hostnames(StrEnum):
    """What becomes of an instance whose address is a host name: left out, or resolved by Envoy."""

    DROP = "drop"
    RESOLVE = "resolve"


class LastEndpoint(StrEnum):
    """What becomes of a service that loses its last instance: published, or its last ones stay on."""

    PUBLISH = "publish"
    HOLD = "hold"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFiles:
    """TLS to the instances with files of the proxy's own machine, as a terminating gateway of Consul has it.

    Certificates must carry the DNS name `sni`; `cert_file` and `key_file` are what the proxy shows.
    """

    ca_file: str
    sni: str
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePolicy:
    """How one service is reached.

    `ring_size` is the least and the most entries of a ring hash, `choices` how many instances least_request
    compares. `request_timeout` is for a whole request, 0 for no limit.
    `panic_threshold` is a percentage: with fewer healthy instances than that, Envoy balances over all of
    them. The default of 1 makes critical instances take traffic only when no other is left.
    """

    protocol: Protocol = Protocol.HTTP1
    connect_timeout: float = 5.0
    lb_policy: LbPolicy = LbPolicy.ROUND_ROBIN
    hash_on: tuple[HashOn, ...] = ()
    panic_threshold: int = 1
    outlier_detection: OutlierDetection | None = OutlierDetection()
    circuit_breakers: CircuitBreakers = CircuitBreakers()
    tls: UpstreamTls | UpstreamFiles | None = None
    ring_size: tuple[int | None, int | None] = (None, None)
    choices: int | None = None
    request_timeout: float | None = None
    on_warning: OnWarning = OnWarning.WEIGHT
    hostnames: Hostnames = Hostnames.DROP
    last_endpoint: LastEndpoint = LastEndpoint.PUBLISH


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedService:
    """One branch of a split: the weight is relative to the sum over the split.

    `subset` names a part of the service's instances, by their own word or by a service-resolver; `port` one
    of the named ports of a service with several.
    """

    service: str
    weight: int = 1
    subset: str = ""
    port: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Requests to one of `hosts` that match go to one of `targets` by weight.

    `hosts` are Envoy domains (`*` for any host). Of the routes of one host the one with the higher `priority`
    comes first, then the one that asks for more. `source` says where it was written.
    """

    hosts: tuple[str, ...]
    match: RouteMatch = ANY_REQUEST
    targets: tuple[WeightedService, ...]
    treatment: Treatment = AS_IT_IS
    priority: int = 0
    source: str


class ListenerKind(StrEnum):
    """What a listener understands of what flows through it."""

    HTTP = "http"
    TCP = "tcp"


class Discovery(StrEnum):
    """What a proxy holds of what an HTTP listener leads to: everything, or what requests have asked for."""

    ALL = "all"
    ON_DEMAND = "on_demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownstreamTls:
    """TLS that a listener terminates with the secret `certificate`.

    With `client_ca`, a secret holding a CA, clients must show a certificate that it signed.
    """

    certificate: str
    client_ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listener the operator asked for.

    HTTP: `routes` in order, and with `all_services` those to every HTTP service of the catalog as well;
    `discovery` says whether a proxy is told of all that before it is used. TCP: `targets` are where every
    connection goes, by weight. A delta client that hears nothing for `ttl` seconds closes the listener.
    `source` says where it was written.
    """

    name: str
    address: str
    port: int
    kind: ListenerKind = ListenerKind.HTTP
    tls: DownstreamTls | None = None
    routes: tuple[Route, ...] = ()
    all_services: bool = False
    discovery: Discovery = Discovery.ALL
    ttl: float | None = None
    targets: tuple[WeightedService, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPolicy:
    """What the operator adds to a gateway of Consul: the TLS of its listeners, and where they listen.

    The port is that of a terminating gateway; an ingress gateway has those of its config entry.
    """

    tls: DownstreamTls | None = None
    address: str = "0.0.0.0"
    port: int = 8443


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPolicy:
    """Which addresses and ports an endpoint may have.

    Networks are CIDR texts. Link-local, multicast, unspecified and metadata addresses are refused whatever
    is allowed here; loopback only with `allow_loopback`. A non-empty `allow` refuses everything outside it.
    """

    allow: tuple[IpNetwork, ...] = ()
    deny: tuple[IpNetwork, ...] = ()
    deny_ports: frozenset[int] = frozenset()
    allow_loopback: bool = False


class Expose(StrEnum):
    """Which services are served: all, or those that say `xds-enable: true` themselves."""

    ALL = "all"
    TAGGED = "tagged"


class Dialect(StrEnum):
    """Whose tags are understood besides our own."""

    FABIO = "fabio"
    TRAEFIK = "traefik"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the operator lets services claim: `hosts` (Envoy domains, `*` for any) below `path_prefix`.

    `services` are names, or `*` for any.
    """

    hosts: tuple[str, ...]
    services: tuple[str, ...]
    path_prefix: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrations:
    """What services may decide in their own registrations."""

    expose: Expose = Expose.ALL
    claims: tuple[Claim, ...] = ()
    dialects: frozenset[Dialect] = frozenset()


DEFAULT_LISTENER: Final = Listener(
    name="default", address="0.0.0.0", port=10000, all_services=True, source="the default listener"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything the operator decided.

    `services` are complete, laid over `defaults`; `stated` tells which fields of them the operator wrote for
    that very service, which nothing that others say goes over. `datacenters` are the others that are read as
    well, the nearest first.
    """

    defaults: ServicePolicy = ServicePolicy()
    services: Mapping[str, ServicePolicy] = field(default_factory=lambda: MappingProxyType({}))
    stated: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    datacenters: tuple[str, ...] = ()
    registrations: Registrations = Registrations()
    gateways: Mapping[str, GatewayPolicy] = field(default_factory=lambda: MappingProxyType({}))
    listeners: tuple[Listener, ...] = (DEFAULT_LISTENER,)
    endpoints: EndpointPolicy = EndpointPolicy()
    hidden_services: frozenset[str] = frozenset({"consul", "xds-server"})

    def service(self, name: str) -> ServicePolicy:
        """Give the policy of one service: its own, else the defaults."""
        return self.services.get(name, self.defaults)
