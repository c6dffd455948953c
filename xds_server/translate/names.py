"""Every name an Envoy meets is made here, so that two resources can never collide by accident.

All names are bounded: a service name has at most 128 characters (`model.catalog.is_service_name`), and
listener and secret names are bounded by the settings.
"""

import re
from collections.abc import Iterator
from typing import Final

from xds_server.model.catalog import is_service_name

XDS_CLUSTER: Final = "xds_cluster"
"""The bootstrap's own static cluster: how the proxy reaches this server."""

ADMIN_PORT_METADATA: Final = "envoy_admin_port"
"""The node metadata in which the generated bootstrap tells the proxy's own admin port."""

GATEWAY_METADATA: Final = "gateway"
"""The node metadata that names the gateway service of Consul which the proxy is an instance of."""

STATIC_CLUSTERS_METADATA: Final = "static_clusters"
"""The node metadata that lists the clusters of the proxy's bootstrap, which no Host header may name."""

LUA_SPECIFIER: Final = "envoy.router.cluster_specifier_plugin.lua"
"""Envoy's extension that finds the cluster of a request by Lua code; a proxy lists what it is built with."""

RESERVED_CLUSTERS: Final = frozenset({XDS_CLUSTER})

# What an IPv6 address ends with is in brackets in a Host header, so it is not taken for a port.
_PORT: Final = re.compile(r":[0-9]*\Z")

_CHAIN_CLUSTER: Final = re.compile(r"(.+?)\.default\.[^.]+\.internal\.", re.ASCII)

CATCH_ALL: Final = "no-such-service"
"""The virtual host that answers for hosts no service of the catalog has."""

BY_NAME: Final = "service-by-name"
"""The virtual host of all services that have none of their own."""


def cluster(service: str) -> str:
    """Name the cluster of a service, which is also the name of its ClusterLoadAssignment."""
    return service


def subset_cluster(service: str, subset: str) -> str:
    """Name the cluster of a part of a service's instances; `@` is in no service's name."""
    return f"{service}@{subset}"


def port_cluster(service: str, port: str) -> str:
    """Name the cluster of a named port of a service; `:` is in no service's name."""
    return f"{service}:{port}"


def target_cluster(service: str, subset: str, datacenter: str) -> str:
    """Name the cluster of a chain's target whose name as Consul makes it could be that of another one."""
    return f"{service}@{subset}@{datacenter}"


def services_of(cluster_name: str) -> tuple[str, ...]:
    """Give the services whose instances a cluster can lead to, as far as its name tells.

    Consul's names of clusters (`v2.web.default.dc1.internal.<trust domain>`) do not tell whether what comes
    before the first dot is a subset, so both ways of reading are given.
    """
    found = _CHAIN_CLUSTER.match(cluster_name)
    if found is None:
        return (re.split("[@:]", cluster_name, maxsplit=1)[0],)
    _, _, rest = found[1].partition(".")
    return (found[1], rest) if rest else (found[1],)


def route_configuration(listener: str) -> str:
    """Name the route configuration of a listener."""
    return listener


def on_demand_routes(listener: str) -> str:
    """Name the route configuration of a listener whose services are discovered on demand.

    It is another name, as Envoy keeps what it was told under one; `:` is in no listener's name.
    """
    return f"{listener}:on-demand"


def virtual_host(routes: str, domain: str) -> str:
    """Name the virtual host of a domain in a route configuration.

    It is what Envoy asks for (its page "VHDS", "Virtual Host Resource Naming Convention").
    """
    return f"{routes}/{domain}"


def virtual_host_of(asked: str) -> str:
    """Give the name of the virtual host that `<route configuration>/<Host header>` is about.

    Envoy asks with the port of the header, and for each port again; a virtual host is for all of them.
    """
    routes, _, host = asked.rpartition("/")
    return virtual_host(routes, _PORT.sub("", host).lower())


def certificate(secret: str) -> str:
    """Name the SDS secret that holds the certificate and key of a configured secret."""
    return secret


def trusted_ca(secret: str) -> str:
    """Name the SDS secret that holds the CA bundle of a configured secret; `:` is in no secret's name."""
    return f"{secret}:ca"


def domains(service: str, datacenter: str) -> Iterator[str]:
    """Give the domains a service answers to, in lower case as Envoy compares them.

    They are the bare name and Consul's two DNS names. The port is left out, as the route configuration
    ignores the port of the Host header.
    """
    name = service.lower()
    yield name
    yield f"{name}.service.consul"
    # It comes from Consul, like the names: what is no name gets no domain.
    if is_service_name(datacenter):
        yield f"{name}.service.{datacenter.lower()}.consul"
