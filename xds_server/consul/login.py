"""A token by login with an auth method, renewed before it expires and given up when it is replaced.

https://developer.hashicorp.com/consul/api-docs/acl#login-to-auth-method
"""

import asyncio
import contextlib
import json
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from xds_server.consul.address import ConsulLogin
from xds_server.consul.errors import ConsulError, LoginFailed, Refused, Unreadable
from xds_server.consul.pace import backoff
from xds_server.consul.text import without
from xds_server.consul.token import SecretFile, fit_for_a_header
from xds_server.consul.transport import OK, Reply, Request
from xds_server.runtime.supervise import supervise
from xds_server.telemetry import Event, log

Send: TypeAlias = Callable[[Request], Awaitable[Reply]]

RENEW_AT: Final = 2 / 3  # of a token's life
_JITTER: Final = 0.1
_CALM_SECONDS: Final = 30.0  # a token that was good for so long had nothing to do with the next refusal
_GOODBYE_SECONDS: Final = 2.0


class _Granted(msgspec.Struct, rename="pascal"):
    """What is read of the answer to a login; times are RFC 3339, by Consul's clock."""

    secret_id: str = msgspec.field(name="SecretID")
    accessor_id: str = msgspec.field(name="AccessorID", default="")
    create_time: str = ""
    expiration_time: str | None = None


class LoginToken:
    """Logs in by `send` when a token is first asked for; used as an async context manager.

    `parameters` go with each request, e.g. the namespace of the auth method.
    """

    def __init__(self, login: ConsulLogin, parameters: Mapping[str, str], send: Send) -> None:
        self._login = login
        self._parameters = parameters
        self._send = send
        self._bearer = SecretFile(login.bearer_token_file, "bearer token")
        self._token = ""
        self._lock = asyncio.Lock()
        self._due = math.inf
        self._moved = asyncio.Event()
        self._tries = 0
        self._not_before = -math.inf
        self._last = -math.inf
        self._error: ConsulError | None = None
        self._keeper = asyncio.create_task(supervise("consul login", self._keep))

    async def current(self) -> str:
        """Give the token. Raises ConsulError while there is none, from the last try within the back-off."""
        if not self._token:
            await self._replace("")
        return self._token

    async def after(self, refusal: Refused, token: str) -> str:
        """Log in again if Consul does not know the token any more. Raises ConsulError."""
        if refusal.token_unknown:
            await self._replace(token)
        return self._token

    async def close(self) -> None:
        """Log out."""
        self._keeper.cancel()
        await asyncio.wait({self._keeper})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._log_out(self._token)
        self._token = ""

    async def _keep(self) -> None:
        """Replace the token whenever it is due."""
        while True:
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if self._due == math.inf else self._due):
                    await self._moved.wait()
                    continue
            with contextlib.suppress(ConsulError):
                await self._replace(self._token)
            await asyncio.sleep(max(0.0, self._not_before - asyncio.get_running_loop().time()))

    async def _replace(self, token: str) -> None:
        """Log in, unless `token` was replaced meanwhile or a try was made just now.

        Raises ConsulError if the last try failed.
        """
        async with self._lock:
            if self._token != token:
                return
            now = asyncio.get_running_loop().time()
            if now >= self._not_before:
                if now - self._last > _CALM_SECONDS and self._error is None:
                    self._tries = 0
                self._last = now
                self._tries += 1
                self._not_before = now + backoff(self._tries)
                await self._try()
            if self._error is not None:
                # It is kept and raised many times, and would collect each way it went.
                raise self._error.with_traceback(None)

    async def _try(self) -> None:
        old = self._token
        try:
            granted = await self._log_in()
            life = _life(granted)
        except ConsulError as error:
            if self._error is None:
                log(
                    Event.CONSUL_LOGIN_FAILED,
                    logging.WARNING,
                    auth_method=self._login.auth_method,
                    error=str(error),
                )
            self._error = error
            return
        self._error = None
        self._token = granted.secret_id
        share = RENEW_AT * random.uniform(1 - _JITTER, 1)  # noqa: S311 - jitter, no secret
        self._due = asyncio.get_running_loop().time() + life * share
        self._moved.set()
        log(
            Event.CONSUL_LOGGED_IN,
            auth_method=self._login.auth_method,
            accessor=granted.accessor_id,
            seconds=life if life < math.inf else "unlimited",
        )
        await self._log_out(old)

    async def _log_in(self) -> _Granted:
        bearer = self._bearer.read(anyway=True)
        body = {
            "AuthMethod": self._login.auth_method,
            "BearerToken": bearer,
            "Meta": dict(self._login.meta),
        }
        reply = await self._send(
            Request(
                method="POST",
                path="/v1/acl/login",
                parameters=self._parameters,
                headers={"Content-Type": "application/json"},
                body=json.dumps(body).encode(),
            )
        )
        if reply.status != OK:
            said = without(reply.body.decode(errors="replace").strip(), bearer)
            raise LoginFailed(self._login.auth_method, reply.status, said)
        try:
            granted = msgspec.json.decode(reply.body, type=_Granted)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unreadable(
                "Consul's answer to /v1/acl/login is no token: check the Consul address."
            ) from None
        fit_for_a_header(granted.secret_id, "token that Consul granted")
        return granted

    async def _log_out(self, token: str) -> None:
        """Give a token up. One that cannot be given up now expires by itself."""
        if token:
            with contextlib.suppress(ConsulError):
                await self._send(
                    Request(
                        method="POST",
                        path="/v1/acl/logout",
                        parameters=self._parameters,
                        headers={"X-Consul-Token": token},
                    )
                )


def _life(granted: _Granted) -> float:
    """Give the seconds a token lives, without end if it never expires; our own clock may be wrong."""
    if not granted.expiration_time:
        return math.inf
    try:
        ends = datetime.fromisoformat(granted.expiration_time)
        return max(0.0, (ends - datetime.fromisoformat(granted.create_time)).total_seconds())
    except (ValueError, TypeError):
        raise Unreadable(
            "Consul's answer to /v1/acl/login has times that cannot be read: look at the Consul servers."
        ) from None
