"""Keeping one instance registered in Consul, with py-consul.

An agent that is not up yet, or not reachable for a while, is asked again with a growing pause. An agent that
came back without its memory (`-dev` keeps everything in memory) is recognised by its new node id and gets the
registration again; one that somebody took away on purpose stays away.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import consul

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_LOOK_EVERY: Final = 5.0
_TIMEOUT: Final = 2.0
_LOG: Final = logging.getLogger("xds_server.demo")

# What a call to an agent that is away, starting or leaderless can end in; the errors of the HTTP library
# below py-consul are OSErrors.
_AWAY: Final = (OSError, consul.ConsulException)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What Consul is told about one instance: `weight` is its weight while passing.

    `address` is an IP address; empty, it is the one this machine has on its way to Consul, where Consul and
    Envoy can reach it too.
    """

    name: str
    id: str
    address: str
    port: int
    weight: int = 1


class Registrar:
    """Registers one instance with the agent at `url` (`http://HOST:PORT`)."""

    def __init__(self, url: str, registration: Registration) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 8500
        self._consul: Any = consul.Consul(
            host=self._host, port=self._port, scheme=parts.scheme, connections_timeout=_TIMEOUT
        )
        self._registration = registration
        self._known_to = ""
        # py-consul works in threads; one that is under way when it is time to leave must not register after.
        self._one_call = threading.Lock()
        self._left = False

    async def keep(self) -> None:
        """Register as soon as the agent can be reached, and again if it lost its memory; never ends."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await asyncio.to_thread(self._register)
            except _AWAY as error:
                _LOG.warning("Consul cannot be reached, trying again in %.1f s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                await asyncio.sleep(_LOOK_EVERY)

    async def leave(self) -> None:
        """Deregister for good; an agent that is gone already has nothing left to forget."""
        with contextlib.suppress(*_AWAY):
            await asyncio.to_thread(self._deregister)

    def _register(self) -> None:
        with self._one_call:
            node = self._consul.agent.self()["Config"]["NodeID"]
            if self._left or node == self._known_to:
                return
            one = self._registration
            address = one.address or self._own_address()
            check = consul.Check.http(
                f"http://{address}:{one.port}/health", interval="1s", timeout="2s", deregister="1m"
            )
            self._consul.agent.service.register(
                one.name,
                service_id=one.id,
                address=address,
                port=one.port,
                weights={"Passing": one.weight, "Warning": 1},
                # It listens already, so it need not wait for the first run of its check.
                check={**check, "status": "passing"},
                replace_existing_checks=True,
            )
            self._known_to = node
            _LOG.info("registered %s at %s:%d in Consul", one.id, address, one.port)

    def _deregister(self) -> None:
        with self._one_call:
            self._left = True
            self._consul.agent.service.deregister(self._registration.id)

    def _own_address(self) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            # Connecting a datagram socket sends nothing: it only picks the route.
            probe.connect((self._host, self._port))
            address: str = probe.getsockname()[0]
            return address
