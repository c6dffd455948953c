"""A thin client for Consul's HTTP API: GETs, blocking or not, with every header that matters.

Blocking queries: https://developer.hashicorp.com/consul/api-docs/features/blocking . What is asked and
what is made of the answer is not known here.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from xds_server.consul.address import ConsulAddress, ConsulLogin, ConsulTls
from xds_server.consul.basic_auth import BasicAuth
from xds_server.consul.errors import Refused
from xds_server.consul.http1 import Http1Transport
from xds_server.consul.login import LoginToken
from xds_server.consul.query import MAX_INDEX, Answer, Query
from xds_server.consul.ring import Ring
from xds_server.consul.text import without
from xds_server.consul.token import GivenToken, Tokens
from xds_server.consul.transport import OK, Limits, Reply, Request, Transport

__all__ = ["ConsulAddress", "ConsulClient", "ConsulLogin", "ConsulTls"]

_FORBIDDEN: Final = 403
_TOKEN_UNKNOWN: Final = b"ACL not found"
_MOST_VIEWS: Final = 100_000


class ConsulClient:
    """Asks one Consul cluster; an async context manager, as it holds connections, and perhaps a token.

    `connections` caps them: Consul closes what goes beyond `limits.http_max_conns_per_client`, 200 for
    each client address by default, and others on this machine share it.

    Raises ConsulError if the address cannot be used, and on entering if a TLS file cannot.
    """

    def __init__(
        self, address: ConsulAddress, *, connections: int = 100, limits: Limits | None = None
    ) -> None:
        self.address = address
        self.connections = connections
        self._bases = address.bases
        self._limits = limits or Limits()
        self._basic = BasicAuth(address.basic_auth, address.auth_file)
        self._ring: Ring | None = None
        self._tokens: Tokens = GivenToken(address.token, address.token_file)
        self._views: dict[Query, tuple[int, str]] = {}

    @property
    def capacity(self) -> int:
        """How many queries may be under way at once.

        It grows once HTTP/2 was agreed on, with the first answer, and shrinks where an agent without it
        takes over; what goes beyond waits.
        """
        return self._ring.in_use.capacity if self._ring is not None else self.connections

    @property
    def in_use(self) -> str:
        """The address that the next query goes to."""
        return self._ring.in_use.base if self._ring is not None else self._bases[0]

    async def __aenter__(self) -> Self:
        self._ring = Ring([self._transport(base) for base in self._bases])
        if self.address.login is not None:
            self._tokens = LoginToken(self.address.login, self._own_parameters(), self._send)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ring is not None:
            await self._tokens.close()  # it says goodbye over the connections
            ring, self._ring = self._ring, None
            await ring.close()

    async def ask(self, query: Query) -> Answer:
        """Ask, and give the answer of 200. Raises ConsulError.

        An index is only good for the agent and the token it was got with, so where either has changed the
        question is asked as if for the first time.
        """
        if not query.datacenter and self.address.datacenter:
            query = replace(query, datacenter=self.address.datacenter)
        token = await self._tokens.current()
        try:
            return await self._ask(query, token)
        except Refused as refusal:
            if refusal.status != _FORBIDDEN:
                raise
            fresh = await self._tokens.after(refusal, token)
            if fresh == token:
                raise
        return await self._ask(query, fresh)

    async def call(self, method: str, path: str, parameters: Mapping[str, str], body: bytes = b"") -> Reply:
        """Make a call that is no query, to the agent in use; give its reply whatever the status.

        Raises ConsulError if none came.
        """
        own = {**parameters, **self._own_parameters()}
        request = Request(method=method, path=path, parameters=own, body=body)
        token = await self._tokens.current()
        reply = await self._send(replace(request, headers=_token_header(token)))
        if reply.status == _FORBIDDEN:
            fresh = await self._tokens.after(self._refused(path, reply, token), token)
            if fresh != token:
                reply = await self._send(replace(request, headers=_token_header(fresh)))
        return reply

    async def _ask(self, query: Query, token: str) -> Answer:
        question = query.at(0, 0.0)
        headers = {**self._basic.header(), **_headers(query, token)}

        def request(place: int) -> Request:
            here = (place, token)
            sent = query if self._views.get(question, here) == here else question
            return Request(
                path=sent.path,
                parameters={**sent.parameters(), **self._own_parameters()},
                headers=headers,
                held=sent.held,
            )

        place, reply = await self._opened.send(request)
        if reply.status != OK:
            raise self._refused(query.path, reply, token)
        if len(self._views) >= _MOST_VIEWS:
            self._views.clear()
        self._views[question] = (place, token)
        return _answer(reply)

    async def _send(self, request: Request) -> Reply:
        whole = replace(request, headers={**self._basic.header(), **request.headers})
        return (await self._opened.send(lambda _: whole))[1]

    @property
    def _opened(self) -> Ring:
        if self._ring is None:
            raise RuntimeError("the client is used outside its `async with`")
        return self._ring

    def _transport(self, base: str) -> Transport:
        if not base.startswith("https:"):
            return Http1Transport(base, self.address.tls, self.connections, self._limits)
        from xds_server.consul.alpn import AlpnTransport  # noqa: PLC0415 - HTTP/2 is for TLS only

        return AlpnTransport(base, self.address.tls, self.connections, self._limits)

    def _own_parameters(self) -> Mapping[str, str]:
        named = {"ns": self.address.namespace, "partition": self.address.partition}
        return {name: value for name, value in named.items() if value}

    def _refused(self, path: str, reply: Reply, token: str) -> Refused:
        said = without(reply.body.decode(errors="replace").strip(), token, *self._basic.secrets())
        return Refused(path, reply.status, said, token_unknown=_TOKEN_UNKNOWN in reply.body)


def _token_header(token: str) -> dict[str, str]:
    return {"X-Consul-Token": token} if token else {}


def _headers(query: Query, token: str) -> Mapping[str, str]:
    headers = _token_header(token)
    if query.cached and query.max_age is not None:
        headers["Cache-Control"] = f"max-age={round(query.max_age)}"
    return headers


def _answer(reply: Reply) -> Answer:
    headers = reply.headers
    return Answer(
        index=_number(headers.get("x-consul-index", "")),
        known_leader=headers.get("x-consul-knownleader", "true").lower() != "false",
        last_contact=_number(headers.get("x-consul-lastcontact", "")),
        age=float(_number(headers.get("age", ""))),
        filtered_by_acls=headers.get("x-consul-results-filtered-by-acls", "").lower() == "true",
        body=reply.body,
    )


def _number(text: str) -> int:
    """Read a header that is a number; anything else, and what Consul itself would refuse, counts as 0."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INDEX))):
        return 0
    number = int(text)
    return number if number <= MAX_INDEX else 0
