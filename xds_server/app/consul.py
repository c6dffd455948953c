"""Everything about Consul put together: the client, the datacenters to watch, and our own registration."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from xds_server.admin import Sources
from xds_server.consul.address import ConsulAddress, ConsulLogin, ConsulTls
from xds_server.consul.client import ConsulClient
from xds_server.consul.datacenters import Datacenters, Remotes
from xds_server.consul.evidence import Bounds
from xds_server.consul.watch import ConsulSource, WatchOptions
from xds_server.runtime.interest import Interest
from xds_server.settings import ConsulSettings, Settings

Run: TypeAlias = Callable[[], Awaitable[None]]

_FEWEST_CONNECTIONS: Final = 10


def catalog_source(settings: Settings, sources: Sources, interest: Interest) -> Run:
    """Give what fills the cells of `sources` from Consul; raise ConsulError if it cannot begin.

    The other datacenters have half of the connections and of the queries, and no config entries: those of
    our own decide.
    """
    consul, hidden = settings.consul, settings.policy.hidden_services
    others = consul.datacenters

    def source(one: ConsulSettings) -> ConsulSource:
        return ConsulSource(_client(one), _watch_options(one), hidden, interest)

    if not others:
        return partial(source(consul).run, sources.catalog, sources.standings)
    own = source(_share(consul, 2))
    each = replace(_share(consul, 2 * len(others)), config_entries=False)
    remotes = Remotes(
        sources={name: source(replace(each, datacenter=name)) for name in others}, keep=consul.remote_keep
    )
    return partial(Datacenters(own, remotes).run, sources.catalog, sources.standings)


async def stay_registered(settings: Settings, sources: Sources, port: int) -> None:
    """Keep this server, which listens on `port`, a service in Consul; take it out when cancelled."""
    if not settings.consul.register or settings.catalog_file is not None:
        return
    from xds_server.app import registration  # noqa: PLC0415 - py-consul is slow to import: not before we listen

    one_connection = replace(settings.consul, connections=1)
    await registration.stay(settings, sources, port, partial(_client, one_connection))


def _share(consul: ConsulSettings, parts: int) -> ConsulSettings:
    return replace(
        consul,
        connections=max(_FEWEST_CONNECTIONS, consul.connections // parts),
        requests_per_second=max(1, consul.requests_per_second // parts),
    )


def _watch_options(consul: ConsulSettings) -> WatchOptions:
    bounds = Bounds(max_stale=consul.max_stale, hold=consul.removal_hold)
    if consul.max_age is not None:
        bounds = replace(bounds, max_age=consul.max_age)
    return WatchOptions(
        wait=consul.wait,
        requests_per_second=consul.requests_per_second,
        sweep=consul.sweep,
        stale=consul.stale,
        cached=consul.cached,
        max_age=consul.max_age,
        bounds=bounds,
        entries=consul.config_entries,
    )


def _client(consul: ConsulSettings) -> ConsulClient:
    tls = ConsulTls(
        ca_file=consul.tls.ca_file,
        ca_path=consul.tls.ca_path,
        cert_file=consul.tls.cert_file,
        key_file=consul.tls.key_file,
        server_name=consul.tls.server_name,
        verify=consul.tls.verify,
    )
    login = None
    if consul.login is not None:
        login = ConsulLogin(
            auth_method=consul.login.auth_method,
            bearer_token_file=consul.login.bearer_token_file,
            meta=consul.login.meta,
        )
    first, *others = (one.url for one in consul.addresses)
    address = ConsulAddress(
        url=first,
        others=tuple(others),
        token=consul.token.value,
        token_file=consul.token_file,
        login=login,
        basic_auth=consul.basic_auth.value,
        auth_file=consul.auth_file,
        tls=tls,
        datacenter=consul.datacenter,
        namespace=consul.namespace,
        partition=consul.partition,
    )
    return ConsulClient(address, connections=consul.connections)
