"""This server as a service in Consul, so that proxies find it at `xds-server.service.consul`.

The registration has a check with a time to live, which this server renews with what it thinks of itself: that
needs no way from the agent to here, and a server that dies is critical once its time is up, and gone after.
https://developer.hashicorp.com/consul/api-docs/agent/service , .../agent/check
"""

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import consul
from consul import base

from xds_server.consul.client import ConsulClient
from xds_server.consul.errors import ConsulError
from xds_server.telemetry import Event, log

SERVICE: Final = "xds-server"

_LEAVING_SECONDS: Final = 2.0
_PACE: Final = 3  # renewals within one time to live
# What a call that Consul did not answer as wanted ends in; the second for answers it refused with a status.
_FAILED: Final = (ConsulError, consul.ConsulException)


_GRANT: Final = 'give the token `service "xds-server" { policy = "write" }`, or set consul.register: false.'
_ONLY_HERE: Final = (
    "xds-server listens on loopback only, where the other nodes of this Consul cannot reach it: "
    "set xds.address, or consul.register: false."
)

_Callback: TypeAlias = Callable[[base.Response], Any]
_Params: TypeAlias = Sequence[tuple[str, Any]] | None


class Health(StrEnum):
    """What this server says of itself, in the words of Consul's checks."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What Consul is told: an address that proxies can reach, and a check that lives for `ttl` seconds.

    `id` is the same after a restart. A server that has been critical for `gone_after` seconds is forgotten.
    """

    id: str
    address: str
    port: int
    version: str
    ttl: float = 15.0
    gone_after: float = 120.0


class SelfRegistration:
    """Keeps this server registered. `health` gives its state and a sentence about it."""

    def __init__(
        self, client: ConsulClient, registration: Registration, health: Callable[[], tuple[Health, str]]
    ) -> None:
        self._consul = _Consul(client)
        self._one = registration
        self._health = health
        self._registered = False
        self._told: str | None = None

    async def run(self) -> None:
        """Register, and renew the check for ever; an agent that has forgotten this server is told again."""
        while True:
            try:
                if not self._registered:
                    await self._register()
                await self._renew()
            except _FAILED as error:
                # An agent that lost its memory does not know the check; the next turn registers again.
                self._registered = False
                denied = isinstance(error, consul.ACLPermissionDenied)
                self._tell(f"Consul refuses it: {_GRANT}" if denied else str(error))
            else:
                self._tell("")
            await asyncio.sleep(self._one.ttl / _PACE)

    async def leave(self) -> None:
        """Deregister; where Consul does not answer now, the check's time runs out there."""
        with contextlib.suppress(*_FAILED, TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await self._consul.agent.service.deregister(self._one.id)

    async def _register(self) -> None:
        one = self._one
        if _is_loopback(one.address) and not _is_loopback(await self._node_address()):
            raise ConsulError(_ONLY_HERE)
        check = consul.Check.ttl(f"{one.ttl:g}s")
        await self._consul.agent.service.register(
            SERVICE,
            service_id=one.id,
            address=one.address,
            port=one.port,
            meta={"version": one.version},
            check={**check, "DeregisterCriticalServiceAfter": f"{one.gone_after:g}s"},
            replace_existing_checks=True,
        )
        self._registered = True

    async def _renew(self) -> None:
        health, sentence = self._health()
        renewals = self._consul.agent.check
        renew = {
            Health.PASSING: renewals.ttl_pass,
            Health.WARNING: renewals.ttl_warn,
            Health.CRITICAL: renewals.ttl_fail,
        }[health]
        if not await renew(f"service:{self._one.id}", notes=sentence):
            raise consul.NotFound

    async def _node_address(self) -> str:
        """Give the address that the agent has for other nodes; empty if it may not be read."""
        with contextlib.suppress(consul.ACLPermissionDenied):
            return str((await self._consul.agent.self())["Member"]["Addr"])
        return ""

    def _tell(self, error: str) -> None:
        """Log a change of state, not each try."""
        told, self._told = self._told, error
        if told is not None and bool(told) == bool(error):
            return
        if error:
            log(Event.CONSUL_NOT_REGISTERED, logging.WARNING, error=error)
        else:
            log(Event.CONSUL_REGISTERED, id=self._one.id, address=self._one.address, port=self._one.port)


def _is_loopback(address: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return False


class _Consul(base.Consul):  # type: ignore[misc]  # py-consul carries no types
    """py-consul's calls over our own client: its addresses, TLS, tokens and bounds."""

    def __init__(self, client: ConsulClient) -> None:
        self._client = client
        super().__init__(host="", port=0, token="", scheme="http", verify=True)
        # It would read a token from the environment; ours comes with the request, and may change.
        self.token = None

    def http_connect(self, *_: Any) -> Any:
        return _Http(self._client)


class _Http:
    """What py-consul asks of an HTTP client; `callback` reads the response and raises for a bad status."""

    def __init__(self, client: ConsulClient) -> None:
        self._client = client

    async def get(self, callback: _Callback, path: str, params: _Params = (), headers: Any = None) -> Any:
        return await self._call("GET", callback, path, params, "", headers)

    async def put(
        self, callback: _Callback, path: str, params: _Params = (), data: str = "", headers: Any = None
    ) -> Any:
        return await self._call("PUT", callback, path, params, data, headers)

    async def _call(
        self, method: str, callback: _Callback, path: str, params: _Params, data: str, _token: Any
    ) -> Any:
        parameters = {name: str(value) for name, value in params or ()}
        reply = await self._client.call(method, path, parameters, data.encode())
        return callback(base.Response(reply.status, reply.headers, reply.body.decode(errors="replace")))
