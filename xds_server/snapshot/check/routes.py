"""Route configurations, virtual host by virtual host.

All services of a listener are in one configuration, which changes with each of them. So a virtual host that
was looked at before is not looked at again.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from xds_server.snapshot.check.fields import broken
from xds_server.snapshot.check.limits import DOMAINS, VIRTUAL_HOSTS
from xds_server.snapshot.check.rules import shown
from xds_server.snapshot.check.text import few, told, twice
from xds_server.translate.stand_ins import unavailable_routes

_AROUND: Final = frozenset({RouteConfiguration.DESCRIPTOR.fields_by_name["virtual_hosts"].full_name})
"""The field of the virtual hosts, which are looked at one by one."""

_LARGEST_SUM: Final = 2**32 - 1

_REMEMBERED: Final = 32_768
_REMEMBERED_BYTES: Final = 4_096


def without_bad_hosts(
    message: RouteConfiguration, served: RouteConfiguration | None, clusters: frozenset[str]
) -> tuple[str, ...]:
    """Put what is served now in the place of bad virtual hosts; give a sentence for each.

    Where nothing of that name is served, or it leads to others than `clusters`, the host answers 503.
    """
    told_of: list[str] = []
    for number, host in enumerate(message.virtual_hosts):
        faults = _faults_of(host)
        # Without a name or domains there is nothing that could be answered for.
        if not faults or not host.name or not host.domains:
            continue
        stand = VirtualHost(name=host.name, domains=host.domains, routes=unavailable_routes())
        last = _last_good(host, served, clusters)
        if last is not None and last != stand:
            stand, instead = last, "its last good version is served"
        else:
            instead = "it answers 503"
        told_of.append(f"virtual host {shown(host.name)} is withheld, {instead}: {' '.join(faults)}")
        message.virtual_hosts[number].CopyFrom(stand)
    return few(told_of)


def _last_good(
    host: VirtualHost, served: RouteConfiguration | None, clusters: frozenset[str]
) -> VirtualHost | None:
    """Give what is served for a virtual host, with the domains it is to have now; None if it cannot stay."""
    for one in () if served is None else served.virtual_hosts:
        if one.name == host.name:
            found = VirtualHost()
            found.CopyFrom(one)
            del found.domains[:]
            found.domains.extend(host.domains)
            return found if not _faults_of(found) and _led_to(found) <= clusters else None
    return None


def _led_to(host: VirtualHost) -> set[str]:
    """Give the clusters that a virtual host leads to."""
    found = {route.route.cluster for route in host.routes}
    found.update(one.name for route in host.routes for one in route.route.weighted_clusters.clusters)
    return found - {""}


def routes_faults(message: RouteConfiguration) -> Iterator[str]:
    """Say what is wrong with a route configuration.

    Envoy, `RouteMatcher`: names of virtual hosts and domains are there once, domains whatever their case.
    """
    yield from told(broken(message, _AROUND))
    hosts = message.virtual_hosts
    if len(hosts) > VIRTUAL_HOSTS:
        yield f"it has {len(hosts)} virtual hosts, more than {VIRTUAL_HOSTS}."
    domains = [domain.lower() for host in hosts for domain in host.domains]
    if len(domains) > DOMAINS:
        yield f"it has {len(domains)} domains, more than {DOMAINS}."
    yield from twice("virtual host", (host.name for host in hosts))
    yield from twice("domain", domains)
    for number, host in enumerate(hosts):
        for fault in _faults_of(host):
            yield f"virtual_hosts[{number}].{fault}"


def virtual_host_faults(message: VirtualHost) -> Iterator[str]:
    """Say what is wrong with a virtual host whose fields keep their rules."""
    yield from twice("domain", (domain.lower() for domain in message.domains))
    yield from _ways(message)


def _faults_of(host: VirtualHost) -> tuple[str, ...]:
    encoded = host.SerializeToString(deterministic=True)
    return (_remembered if len(encoded) <= _REMEMBERED_BYTES else _host_faults)(encoded)


def _host_faults(encoded: bytes) -> tuple[str, ...]:
    host = VirtualHost.FromString(encoded)
    return few(told(broken(host)) or _ways(host))


_remembered: Final = lru_cache(maxsize=_REMEMBERED)(_host_faults)


def _ways(host: VirtualHost) -> Iterator[str]:
    """Envoy adds the weights of a route up, and divides by the sum."""
    for number, route in enumerate(host.routes):
        branches = route.route.weighted_clusters.clusters
        if branches and not 0 < sum(one.weight.value for one in branches) <= _LARGEST_SUM:
            yield (
                f"routes[{number}] of virtual host {shown(host.name)} has weights that sum up to nothing, "
                f"or to more than {_LARGEST_SUM}."
            )
