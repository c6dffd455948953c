"""A row for each kind of rule in Envoy's API: what breaks it, and its neighbour that keeps it.

A row is what it adds to a cluster, a virtual host, an HTTP connection manager or a listener that are right
without it, in the JSON of Envoy's API.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener

# What a row packs into an `Any` has to be known.
from envoy.extensions.access_loggers.file.v3 import file_pb2 as _file
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as _tls
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as _http
from google.protobuf.json_format import ParseDict

from xds_server.model.types import TypeUrl
from xds_server.translate.packing import Draft, draft

assert _file, _tls
assert _http

Json: TypeAlias = dict[str, Any]

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
OTHER: Final = "other"
"""A cluster that is there besides."""

_ADDRESS: Final = {"socket_address": {"address": "127.0.0.1", "port_value": 9}}
_ENDPOINT: Final = {"endpoint": {"address": _ADDRESS}}


def cluster(**more: Any) -> Json:
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [_ENDPOINT]}]}
    return {"name": "c", "connect_timeout": "1s", "load_assignment": assignment, **more}


def endpoints(**more: Any) -> Json:
    return cluster(load_assignment={"cluster_name": "c", **more})


def endpoint(**more: Any) -> Json:
    return endpoints(endpoints=[{"lb_endpoints": [{**_ENDPOINT, **more}]}])


def health_check(**more: Any) -> Json:
    whole = {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1}
    made = {**whole, "http_health_check": {"path": "/"}, **more}
    return cluster(health_checks=[{key: value for key, value in made.items() if value is not None}])


def upstream_tls(**more: Any) -> Json:
    name = f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"
    return cluster(transport_socket={"name": "tls", "typed_config": {"@type": name, **more}})


def http_options(**more: Any) -> Json:
    name = f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
    options = {"@type": name, "explicit_http_config": {"http_protocol_options": {}}, **more}
    key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return cluster(typed_extension_protocol_options={key: options})


def over_grpc(source: Json | None = None, **more: Any) -> Json:
    """A cluster whose endpoints come from a gRPC server."""
    service = {"envoy_grpc": {"cluster_name": OTHER, **more}}
    api = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service], **(source or {})}
    config = {"resource_api_version": "V3", "api_config_source": api}
    return {"name": "c", "type": "EDS", "eds_cluster_config": {"eds_config": config}}


def manager(**more: Any) -> Json:
    name = f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"}
    config = {
        "@type": name,
        "stat_prefix": "s",
        "route_config": {"name": "r"},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        **more,
    }
    return {"filters": [{"name": "hcm", "typed_config": config}]}


def listener(**more: Any) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {"name": "l", "address": address, "filter_chains": [manager()], **more}


def with_manager(**more: Any) -> Json:
    return listener(filter_chains=[manager(**more)])


def virtual_host(**more: Any) -> Json:
    host = {"name": "h", "domains": ["*"], **more}
    return with_manager(route_config={"name": "r", "virtual_hosts": [host]})


def route(match: Json | None = None, **more: Any) -> Json:
    action = {"direct_response": {"status": 200}} if not {"route", "direct_response"} & more.keys() else {}
    return virtual_host(routes=[{"match": match or {"prefix": "/"}, **action, **more}])


def logged(**filter_: Any) -> Json:
    config = {"@type": f"{_EXTENSIONS}.access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}
    return with_manager(access_log=[{"name": "f", "filter": filter_, "typed_config": config}])


def downstream_tls(**more: Any) -> Json:
    name = f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext"
    sds = {"name": "s", "sds_config": {"ads": {}, "resource_api_version": "V3"}}
    common = {"tls_certificate_sds_secret_configs": [sds]}
    socket = {"name": "tls", "typed_config": {"@type": name, "common_tls_context": common, **more}}
    return listener(filter_chains=[{**manager(), "transport_socket": socket}])


def _redirected(*headers: str) -> Json:
    policy = {"response_headers_to_copy": list(headers)}
    return route(route={"cluster": "c", "internal_redirect_policy": policy})


def _headers(count: int) -> Json:
    return virtual_host(request_headers_to_add=[{"header": {"key": "k", "value": "v"}}] * count)


def _raw_header(size: int) -> Json:
    header = {"key": "k", "raw_value": "QUJD" * (size // 3 + 1)}
    return virtual_host(request_headers_to_add=[{"header": header}])


def _hits(text: str) -> Json:
    limit = {"actions": [{"remote_address": {}}], "hits_addend": {"format": text}}
    return route(route={"cluster": "c", "rate_limits": [limit]})


def _datagrams(size: int) -> Json:
    return listener(
        filter_chains=[],
        udp_listener_config={"downstream_socket_config": {"max_rx_datagram_size": size}},
        listener_filters=[],
    )


def _disabled(predicate: Json) -> Json:
    inspector = {"@type": f"{_EXTENSIONS}.filters.listener.tls_inspector.v3.TlsInspector"}
    return listener(listener_filters=[{"name": "i", "typed_config": inspector, "filter_disabled": predicate}])


def _pinned(spki: str) -> Json:
    return upstream_tls(
        common_tls_context={"validation_context": {"verify_certificate_spki": [spki]}}, sni="a.example"
    )


def _matching(count: int) -> Json:
    inner = {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"}
    action = {"action": {"name": "a", "typed_config": inner}}
    exact = {"map": {str(number): action for number in range(count)}}
    tree = {"input": {"name": "i", "typed_config": inner}, "exact_match_map": exact}
    return virtual_host(matcher={"matcher_tree": tree})


def _retried(back_off: Json) -> Json:
    return over_grpc(retry_policy={"retry_back_off": back_off})


@dataclass(frozen=True, slots=True)
class Row:
    """`kind` is the rule as the API writes it; `bad` breaks it, and `path` says where; `good` keeps it."""

    kind: str
    bad: Json
    good: Json
    path: str


_LB = "load_assignment.endpoints[0].lb_endpoints[0]"
_HCM = "filter_chains[0].filters[0].typed_config"
_HOST = f"{_HCM}.route_config.virtual_hosts[0]"
_ROUTE = f"{_HOST}.routes[0]"
_GRPC = "eds_cluster_config.eds_config.api_config_source"

ROWS: Final[tuple[Row, ...]] = (
    Row(
        "any.required",
        cluster(load_balancing_policy={"policies": [{"typed_extension_config": {"name": "x"}}]}),
        cluster(),
        "load_balancing_policy.policies[0].typed_extension_config.typed_config",
    ),
    Row(
        "bool.const",
        _disabled({"any_match": False}),
        _disabled({"any_match": True}),
        "listener_filters[0].filter_disabled.any_match",
    ),
    Row(
        "bytes.max_len",
        _raw_header(16_385),
        _raw_header(300),
        f"{_HOST}.request_headers_to_add[0].header.raw_value",
    ),
    Row(
        "double.gt",
        over_grpc({"rate_limit_settings": {"fill_rate": 0}}),
        over_grpc({"rate_limit_settings": {"fill_rate": 1}}),
        f"{_GRPC}.rate_limit_settings.fill_rate",
    ),
    Row(
        "double.gte",
        cluster(common_lb_config={"healthy_panic_threshold": {"value": -1}}),
        cluster(common_lb_config={"healthy_panic_threshold": {"value": 0}}),
        "common_lb_config.healthy_panic_threshold.value",
    ),
    Row(
        "double.lte",
        cluster(common_lb_config={"healthy_panic_threshold": {"value": 100.5}}),
        cluster(common_lb_config={"healthy_panic_threshold": {"value": 100}}),
        "common_lb_config.healthy_panic_threshold.value",
    ),
    Row("duration.gt", cluster(connect_timeout="0s"), cluster(connect_timeout="0.001s"), "connect_timeout"),
    Row("duration.gte", cluster(dns_jitter="-1s"), cluster(dns_jitter="0s"), "dns_jitter"),
    Row(
        "duration.lt",
        downstream_tls(session_timeout="4294967296s"),
        downstream_tls(session_timeout="100s"),
        "filter_chains[0].transport_socket.typed_config.session_timeout",
    ),
    Row(
        "duration.required",
        _retried({"max_interval": "2s"}),
        _retried({"base_interval": "1s"}),
        f"{_GRPC}.grpc_services[0].envoy_grpc.retry_policy.retry_back_off.base_interval",
    ),
    Row("enum.defined_only", cluster(lb_policy=99), cluster(lb_policy=2), "lb_policy"),
    Row(
        "enum.not_in",
        health_check(http_health_check={"path": "/", "method": "CONNECT"}),
        health_check(http_health_check={"path": "/", "method": "GET"}),
        "health_checks[0].http_health_check.method",
    ),
    Row(
        "map.keys.string.min_len",
        cluster(metadata={"filter_metadata": {"": {}}}),
        cluster(metadata={"filter_metadata": {"a": {}}}),
        "metadata.filter_metadata['']",
    ),
    Row("map.min_pairs", _matching(0), cluster(), f"{_HOST}.matcher.matcher_tree.exact_match_map.map"),
    Row("message.required", health_check(timeout=None), health_check(), "health_checks[0].timeout"),
    Row(
        "oneof.required",
        endpoint(endpoint={"address": {}}),
        endpoint(),
        f"{_LB}.endpoint.address.socket_address, pipe, envoy_internal_address",
    ),
    Row(
        "repeated.items.enum.defined_only",
        cluster(common_lb_config={"override_host_status": {"statuses": [99]}}),
        cluster(common_lb_config={"override_host_status": {"statuses": [1]}}),
        "common_lb_config.override_host_status.statuses[0]",
    ),
    Row(
        "repeated.items.string.in",
        logged(response_flag_filter={"flags": ["XX"]}),
        logged(response_flag_filter={"flags": ["UF"]}),
        f"{_HCM}.access_log[0].filter.response_flag_filter.flags[0]",
    ),
    Row(
        "repeated.items.string.max_bytes",
        _pinned("a" * 45),
        _pinned("NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A="),
        "transport_socket.typed_config.common_tls_context.validation_context.verify_certificate_spki[0]",
    ),
    Row(
        "repeated.items.string.min_len",
        virtual_host(request_headers_to_remove=[""]),
        virtual_host(request_headers_to_remove=["x"]),
        f"{_HOST}.request_headers_to_remove[0]",
    ),
    Row(
        "repeated.items.string.well_known_regex",
        virtual_host(request_headers_to_remove=["x\ny"]),
        virtual_host(request_headers_to_remove=["x y"]),
        f"{_HOST}.request_headers_to_remove[0]",
    ),
    Row(
        "repeated.items.uint32.gte",
        listener(filter_chains=[{**manager(), "filter_chain_match": {"source_ports": [0]}}]),
        listener(filter_chains=[{**manager(), "filter_chain_match": {"source_ports": [1]}}]),
        "filter_chains[0].filter_chain_match.source_ports[0]",
    ),
    Row(
        "repeated.items.uint32.lte",
        listener(filter_chains=[{**manager(), "filter_chain_match": {"source_ports": [65536]}}]),
        listener(filter_chains=[{**manager(), "filter_chain_match": {"source_ports": [65535]}}]),
        "filter_chains[0].filter_chain_match.source_ports[0]",
    ),
    Row("repeated.max_items", _headers(1001), _headers(1000), f"{_HOST}.request_headers_to_add"),
    Row("repeated.min_items", virtual_host(domains=[]), virtual_host(), f"{_HOST}.domains"),
    Row(
        "repeated.unique",
        _redirected("a", "a"),
        cluster(),
        f"{_ROUTE}.route.internal_redirect_policy.response_headers_to_copy",
    ),
    Row(
        "string.in",
        with_manager(scheme_header_transformation={"scheme_to_overwrite": "ftp"}),
        with_manager(scheme_header_transformation={"scheme_to_overwrite": "https"}),
        f"{_HCM}.scheme_header_transformation.scheme_to_overwrite",
    ),
    Row(
        "string.max_bytes",
        upstream_tls(sni="a" * 256),
        upstream_tls(sni="a" * 255),
        "transport_socket.typed_config.sni",
    ),
    Row("string.min_len", cluster(name=""), cluster(name="c"), "name"),
    Row(
        "string.pattern",
        route({"path_separated_prefix": "/a/"}),
        route({"path_separated_prefix": "/a"}),
        f"{_ROUTE}.match.path_separated_prefix",
    ),
    Row("string.prefix", _hits("x%"), cluster(), f"{_ROUTE}.route.rate_limits[0].hits_addend.format"),
    Row("string.suffix", _hits("%x"), cluster(), f"{_ROUTE}.route.rate_limits[0].hits_addend.format"),
    Row(
        "string.well_known_regex",
        over_grpc(authority="a\nb"),
        over_grpc(authority="a b"),
        f"{_GRPC}.grpc_services[0].envoy_grpc.authority",
    ),
    Row(
        "string.well_known_regex",
        virtual_host(request_headers_to_add=[{"header": {"key": "a\rb", "value": "v"}}]),
        virtual_host(request_headers_to_add=[{"header": {"key": "a", "value": "v"}}]),
        f"{_HOST}.request_headers_to_add[0].header.key",
    ),
    Row(
        "string.ignore_empty",
        http_options(upstream_http_protocol_options={"override_auto_sni_header": "a\nb"}),
        http_options(upstream_http_protocol_options={"override_auto_sni_header": ""}),
        "typed_extension_protocol_options"
        "['envoy.extensions.upstreams.http.v3.HttpProtocolOptions']"
        ".upstream_http_protocol_options.override_auto_sni_header",
    ),
    Row(
        "uint32.gt",
        endpoints(policy={"overprovisioning_factor": 0}),
        endpoints(policy={"overprovisioning_factor": 1}),
        "load_assignment.policy.overprovisioning_factor",
    ),
    Row(
        "uint32.gte",
        endpoint(load_balancing_weight=0),
        endpoint(load_balancing_weight=1),
        f"{_LB}.load_balancing_weight",
    ),
    Row(
        "uint32.lt",
        route(direct_response={"status": 600}),
        route(direct_response={"status": 599}),
        f"{_ROUTE}.direct_response.status",
    ),
    Row(
        "uint32.lte",
        endpoint(endpoint={"address": {"socket_address": {"address": "127.0.0.1", "port_value": 65536}}}),
        endpoint(endpoint={"address": {"socket_address": {"address": "127.0.0.1", "port_value": 65535}}}),
        f"{_LB}.endpoint.address.socket_address.port_value",
    ),
    Row(
        "uint64.lte",
        cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 8_388_609}),
        cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 8_388_608}),
        "ring_hash_lb_config.minimum_ring_size",
    ),
    Row(
        "uint64.gt",
        _datagrams(0),
        cluster(),
        "udp_listener_config.downstream_socket_config.max_rx_datagram_size",
    ),
    Row(
        "uint64.lt",
        _datagrams(65_536),
        cluster(),
        "udp_listener_config.downstream_socket_config.max_rx_datagram_size",
    ),
)

_MESSAGES: Final[Mapping[str, tuple[TypeUrl, Callable[[], Any]]]] = {
    "clusters": (TypeUrl.CLUSTER, Cluster),
    "listeners": (TypeUrl.LISTENER, Listener),
}


def section(resource: Json) -> str:
    """Give where in a bootstrap a resource of a row stands."""
    return "listeners" if "filter_chains" in resource else "clusters"


def as_draft(resource: Json) -> Draft:
    """Give a resource of a row as what translation gives out."""
    type_url, make = _MESSAGES[section(resource)]
    return draft(type_url, resource["name"], ParseDict(resource, make()))
