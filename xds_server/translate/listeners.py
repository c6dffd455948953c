"""Listeners: where a proxy accepts connections, and which filters understand them."""

from dataclasses import replace
from typing import Final

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLogFilter, ResponseFlagFilter
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener as EnvoyListener
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    LocalReplyConfig,
    Rds,
    ResponseMapper,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.type.v3.hash_policy_pb2 import HashPolicy
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from xds_server.model.policy import Listener, ListenerKind, WeightedService
from xds_server.model.problem import Code, Problem
from xds_server.model.route import Branch
from xds_server.model.types import TypeUrl
from xds_server.translate.meaning import branches
from xds_server.translate.packing import Draft, Reference, draft, pack
from xds_server.translate.routes import NO_SUCH_SERVICE, Served, usable_targets
from xds_server.translate.rules import UNAVAILABLE, hash_sources
from xds_server.translate.sources import ADS
from xds_server.translate.tls import downstream_references, downstream_socket

_ALPN: Final = {ListenerKind.HTTP: ("h2", "http/1.1"), ListenerKind.TCP: ()}

_TLS_INSPECTOR: Final = ListenerFilter(
    name="envoy.filters.listener.tls_inspector", typed_config=pack(TlsInspector())
)

_ROUTER: Final = HttpFilter(name="envoy.filters.http.router", typed_config=pack(Router()))


def no_such_service(flag: str) -> LocalReplyConfig:
    """Give what makes the answers that Envoy flags so those of the virtual host for no service."""
    mapper = ResponseMapper(
        filter=AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=[flag])),
        status_code=UInt32Value(value=UNAVAILABLE),
        body=DataSource(inline_string=NO_SUCH_SERVICE),
    )
    return LocalReplyConfig(mappers=[mapper])


NO_CLUSTER: Final = no_such_service("NC")
"""For routes that find a cluster by its name: there may be none of that name."""


def http_listener(
    listener: Listener,
    routes: str,
    filters: tuple[HttpFilter, ...] = (),
    replies: LocalReplyConfig | None = None,
) -> Draft:
    """Give an HTTP listener with the route configuration called `routes`.

    `filters` go before the router; `replies` rewrites what Envoy answers on its own account.
    """
    chain = http_chain(listener, routes, filters, replies)
    return with_chains(listener, (chain,), (Reference(TypeUrl.ROUTES, routes),))


def http_chain(
    listener: Listener,
    routes: str,
    filters: tuple[HttpFilter, ...] = (),
    replies: LocalReplyConfig | None = None,
) -> FilterChain:
    """Give the filter chain of such a listener."""
    manager = HttpConnectionManager(
        stat_prefix=listener.name,
        rds=Rds(config_source=ADS, route_config_name=routes),
        http_filters=[*filters, _ROUTER],
        # What follows is Envoy's page "Configuring Envoy as an edge proxy": one request, one meaning.
        use_remote_address=BoolValue(value=True),
        normalize_path=BoolValue(value=True),
        merge_slashes=True,
        path_with_escaped_slashes_action=HttpConnectionManager.UNESCAPE_AND_REDIRECT,
        common_http_protocol_options=HttpProtocolOptions(
            headers_with_underscores_action=HttpProtocolOptions.REJECT_REQUEST
        ),
        upgrade_configs=[HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        local_reply_config=replies,
    )
    return _chain(listener, "envoy.filters.network.http_connection_manager", manager)


def tcp_listener(listener: Listener, served: Served) -> tuple[Draft | None, tuple[Problem, ...]]:
    """Give a TCP listener, or None and the reason where no service it leads to is in the catalog."""
    targets, problems = usable_targets(listener.targets, served, listener.source)
    if not targets:
        sentence = f'listener "{listener.name}" leads to no service of the catalog; it is left out'
        missing = Problem(code=Code.LISTENER_UNKNOWN_SERVICE, source=listener.source, sentence=sentence)
        return None, (*problems, missing)
    chain, references = tcp_chain(listener, targets, served)
    return with_chains(listener, (chain,), references), problems


def tcp_chain(
    listener: Listener, targets: tuple[WeightedService, ...], served: Served
) -> tuple[FilterChain, tuple[Reference, ...]]:
    """Give the filter chain of a TCP listener, and the clusters it leads to."""
    ways = branches(targets, served.services)
    chain = _chain(listener, "envoy.filters.network.tcp_proxy", _tcp_proxy(listener, ways, served))
    return chain, tuple(Reference(TypeUrl.CLUSTER, way.cluster) for way in ways)


def _tcp_proxy(listener: Listener, ways: tuple[Branch, ...], served: Served) -> TcpProxy:
    proxy = TcpProxy(stat_prefix=listener.name)
    if len(ways) == 1:
        proxy.cluster = ways[0].cluster
    else:
        for way in ways:
            proxy.weighted_clusters.clusters.add(name=way.cluster, weight=way.weight)
    if any(hash_sources(served.clusters[way.cluster]) for way in ways):
        # The source address is all there is to hash of a TCP connection.
        proxy.hash_policy.append(HashPolicy(source_ip=HashPolicy.SourceIp()))
    return proxy


def _chain(listener: Listener, filter_name: str, config: Message) -> FilterChain:
    chain = FilterChain(filters=[Filter(name=filter_name, typed_config=pack(config))])
    if listener.tls is not None:
        chain.transport_socket.CopyFrom(downstream_socket(listener.tls, alpn=_ALPN[listener.kind]))
    return chain


def with_chains(
    listener: Listener, chains: tuple[FilterChain, ...], references: tuple[Reference, ...]
) -> Draft:
    """Give a listener from its filter chains; of several each says by the server name when it is meant."""
    socket = SocketAddress(address=listener.address, port_value=listener.port)
    message = EnvoyListener(name=listener.name, address=Address(socket_address=socket), filter_chains=chains)
    if any(chain.filter_chain_match.server_names for chain in chains):
        message.listener_filters.append(_TLS_INSPECTOR)
    secrets = downstream_references(listener.tls) if listener.tls else ()
    made = draft(TypeUrl.LISTENER, listener.name, message, (*references, *secrets))
    return replace(made, ttl=listener.ttl)
