"""The listeners of gRPC: where a client's target and a server's address find their configuration.

A client asks for a listener with the very name of its target (gRFC A27), a server for one named after the
address it listens on (gRFC A36). Names of hosts are made beforehand; a name with a port and that of a server
tell all there is to say, so their listeners are made when they are asked for.
"""

import re
from ipaddress import ip_address
from typing import Final

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.listener.v3.api_listener_pb2 import ApiListener
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import NonForwardingAction, Route, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)

from xds_server.model.types import TypeUrl
from xds_server.translate.addresses import MAX_PORT
from xds_server.translate.packing import Draft, Reference, draft, pack
from xds_server.translate.sources import ADS

_SERVER: Final = "grpc/server?xds.resource.listening_address="

SERVER_TEMPLATE: Final = f"{_SERVER}%s"
"""How a gRPC server makes the name of its listener from its address; the bootstrap tells it (gRFC A36)."""

# gRPC refuses a listener whose last filter is not a terminal one (gRFC A39).
_ROUTER: Final = HttpFilter(name="envoy.filters.http.router", typed_config=pack(Router()))

_STATS: Final = "grpc"
"""The API wants a prefix of statistics; gRPC does not read it."""

# Two names of a service or datacenter, 128 characters each, and what Consul's DNS puts between them.
_HOST_AND_PORT: Final = re.compile(r"([a-z0-9](?:[a-z0-9._-]{0,298}[a-z0-9])?):([0-9]{1,5})", re.ASCII)
_IP_AND_PORT: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})", re.ASCII)


def client_listener(target: str, host: str) -> Draft:
    """Give the API listener of a gRPC target; its routes come by RDS under the name of the host."""
    manager = HttpConnectionManager(
        stat_prefix=_STATS, rds=Rds(config_source=ADS, route_config_name=host), http_filters=[_ROUTER]
    )
    message = Listener(name=target, api_listener=ApiListener(api_listener=pack(manager)))
    return draft(TypeUrl.LISTENER, target, message, (Reference(TypeUrl.ROUTES, host),))


def derived_listener(name: str) -> Draft | None:
    """Give the listener of a name that tells all there is to say, or None if it is no such name.

    `HOST:PORT` is a gRPC client's target, whose port is left to the endpoints; whether there is such a host
    shows in its routes. `grpc/server?xds.resource.listening_address=IP:PORT` is a gRPC server.
    """
    if name.startswith(_SERVER):
        return _server_listener(name)
    found = _HOST_AND_PORT.fullmatch(name)
    if found is None or not _is_port(found[2]):
        return None
    return client_listener(name, found[1])


def _server_listener(name: str) -> Draft | None:
    """Let a gRPC server serve every call itself; it takes a listener with its own address only."""
    found = _IP_AND_PORT.fullmatch(name.removeprefix(_SERVER))
    if found is None or not _is_port(found[3]) or not _is_ip(found[1] or found[2]):
        return None
    every_call = Route(match=RouteMatch(prefix="/"), non_forwarding_action=NonForwardingAction())
    inbound = VirtualHost(name="inbound", domains=["*"], routes=[every_call])
    manager = HttpConnectionManager(
        stat_prefix=_STATS,
        route_config=RouteConfiguration(name="inbound", virtual_hosts=[inbound]),
        http_filters=[_ROUTER],
    )
    socket = SocketAddress(address=found[1] or found[2], port_value=int(found[3]))
    chain = FilterChain(
        filters=[Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(manager))]
    )
    message = Listener(name=name, address=Address(socket_address=socket), filter_chains=[chain])
    return draft(TypeUrl.LISTENER, name, message)


def _is_port(text: str) -> bool:
    return 1 <= int(text) <= MAX_PORT


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
