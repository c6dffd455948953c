"""This server as a service in Consul: where proxies find it, and what it says of itself."""

import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from xds_server import __version__
from xds_server.admin import Sources
from xds_server.consul.client import ConsulClient
from xds_server.consul.registration import SERVICE, Health, Registration, SelfRegistration
from xds_server.model.standing import State
from xds_server.runtime.supervise import supervise
from xds_server.settings import Settings

_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})


async def stay(settings: Settings, sources: Sources, port: int, client: Callable[[], ConsulClient]) -> None:
    """Keep this server, which listens on `port`, a service in Consul; take it out when cancelled."""
    host, at = settings.consul.advertise or (settings.xds.host, port)
    one = Registration(
        id=f"{SERVICE}-{socket.gethostname()}-{at}",
        # Without an address of its own a service has that of its agent's node.
        address="" if host in _ANY_ADDRESS else host,
        port=at,
        version=__version__,
    )
    await supervise("consul registration", partial(_registered, client, one, sources))


async def _registered(client: Callable[[], ConsulClient], one: Registration, sources: Sources) -> None:
    async with client() as opened:
        registration = SelfRegistration(opened, one, partial(_health, sources))
        try:
            await registration.run()
        finally:
            await registration.leave()


def _health(sources: Sources) -> tuple[Health, str]:
    """Say what proxies may expect here: an old catalog is served, and none is not."""
    if sources.believed.value is None:
        return Health.CRITICAL, "no catalog was read yet"
    doubtful = [one for one in sources.standings.value or () if one.state is not State.LIVE]
    if doubtful:
        return Health.WARNING, f"{doubtful[0].source} is {doubtful[0].state}: {doubtful[0].reason}"
    return Health.PASSING, "serving"
