"""A thin client for Consul's HTTP API: GETs, blocking or not, with every header that matters.

Blocking queries: https://developer.hashicorp.com/consul/api-docs/features/blocking . What is asked and
what is made of the answer is not known here.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from xds_server.consul.errors import ConsulError, Cut, Refused, Unreachable, Unreadable
from xds_server.consul.query import MAX_INDEX, Answer, Query
from xds_server.consul.text import shown

MAX_BODY: Final = 64 * 2**20

_CONNECT_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 30.0  # no byte for so long, beyond the time the server was asked to wait
_BODY_SECONDS: Final = 120.0  # a body of 1 byte a second must end as well
_MAX_HEADERS: Final = 64
_MAX_SAID: Final = 400
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulTls:
    """TLS towards Consul; files are PEM. `server_name` is what its certificate must carry, else the host."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulAddress:
    """Where Consul is and how to speak to it.

    `url` is `http(s)://host:port`, with a path prefix if a proxy wants one; without a scheme it is http.
    The token of `token_file`, re-read when the file changes, goes before `token`. An empty `datacenter`
    is the agent's own.
    """

    url: str = "http://127.0.0.1:8500"
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    tls: ConsulTls = ConsulTls()
    datacenter: str = ""


class ConsulClient:
    """Asks one Consul agent; an async context manager, as it holds connections.

    `connections` caps them: Consul closes what goes beyond `limits.http_max_conns_per_client`, 200 for
    each client address by default, and others on this machine share it.

    Raises ConsulError if the address cannot be used, and on entering if a TLS file cannot.
    """

    def __init__(self, address: ConsulAddress, *, connections: int = 100) -> None:
        self.address = address
        self.connections = connections
        self._base = _base_url(address.url)
        self._token = _Token(address)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # `False` would also drop the name check of a context, so the context alone says what is checked.
        context = _tls_context(self.address.tls) if self._base.startswith("https:") else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.connections, ssl=context, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_headers=_MAX_HEADERS,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, query: Query) -> Answer:
        """Ask, and give the answer of 200. Raises ConsulError."""
        if not query.datacenter and self.address.datacenter:
            query = replace(query, datacenter=self.address.datacenter)
        limits = aiohttp.ClientTimeout(
            total=query.held + _BODY_SECONDS,
            sock_connect=_CONNECT_SECONDS,
            sock_read=query.held + _SILENCE_SECONDS,
        )
        return await self._ask(query.path, query.parameters(), limits, _cache_control(query))

    async def _ask(
        self, path: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout, extra: Mapping[str, str]
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("the client is used outside its `async with`")
        token = self._token.read()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **extra}
        if token:
            headers["X-Consul-Token"] = token
        try:
            async with self._session.get(
                URL(self._base + path, encoded=True).with_query(query),
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                server_hostname=self.address.tls.server_name or None,
            ) as response:
                if response.status != _OK:
                    said = (await response.content.read(_MAX_SAID)).decode(errors="replace").strip()
                    raise Refused(path, response.status, _without(token, said))
                body = await _read(path, response)
                return _answer(response.headers, body)
        except TimeoutError:
            raise Unreachable(
                f"{self._base} did not answer {path} in time: see whether it is overloaded."
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            # Not `from error`: aiohttp's exceptions hold the request with its token.
            raise _translated(self._base, error) from None


def _base_url(url: str) -> str:
    """Give the URL that paths are appended to; raise ConsulError if it is none."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        sound = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        sound = False
    if not sound or parts.username or parts.password or parts.query or parts.fragment:
        raise ConsulError(
            "the Consul address is not usable: write it as http://host:port or https://host:port."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _tls_context(tls: ConsulTls) -> ssl.SSLContext:
    """Load the TLS files; raise ConsulError, naming the setting, if they cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConsulError(
            f"the CA file {tls.ca_file} for Consul cannot be used ({error}): check it."
        ) from error
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConsulError(
                f"the client certificate {tls.cert_file} for Consul cannot be used with its "
                f"key ({error}): check both."
            ) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Token:
    """The token to send now. A file that cannot be read for a moment leaves the last token in force."""

    def __init__(self, address: ConsulAddress) -> None:
        self._token = address.token
        self._file = address.token_file
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> str:
        """Give the token, empty for none; raise ConsulError if there is a file and it never was readable."""
        if self._file is None:
            return self._checked(self._token)
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._token = self._checked(self._file.read_text().strip())
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            if self._seen is None:
                raise ConsulError(
                    f"the Consul token file {self._file} cannot be read: check its path and mode."
                ) from error
        return self._token

    @staticmethod
    def _checked(token: str) -> str:
        if not (token.isascii() and token.isprintable()):
            raise ConsulError("the Consul token holds characters that a header cannot carry: set it again.")
        return token


def _without(token: str, said: str) -> str:
    """Give what an error answer says for a sentence; a proxy may have echoed our headers."""
    said = said.replace(token, "<token>") if token else said
    return shown(said) if said else ""


async def _read(path: str, response: aiohttp.ClientResponse) -> bytes:
    """Read the body up to the cap; raise Unreadable beyond it."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise Unreadable(
                f"Consul's answer to {path} is longer than {MAX_BODY} bytes: split that service up."
            )
    return bytes(body)


def _cache_control(query: Query) -> Mapping[str, str]:
    if not query.cached or query.max_age is None:
        return {}
    return {"Cache-Control": f"max-age={round(query.max_age)}"}


def _answer(headers: Mapping[str, str], body: bytes) -> Answer:
    return Answer(
        index=_number(headers.get("X-Consul-Index", "")),
        known_leader=headers.get("X-Consul-KnownLeader", "true").lower() != "false",
        last_contact=_number(headers.get("X-Consul-LastContact", "")),
        age=float(_number(headers.get("Age", ""))),
        filtered_by_acls=headers.get("X-Consul-Results-Filtered-By-ACLs", "").lower() == "true",
        body=body,
    )


def _number(text: str) -> int:
    """Read a header that is a number; anything else, and what Consul itself would refuse, counts as 0."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INDEX))):
        return 0
    number = int(text)
    return number if number <= MAX_INDEX else 0


_WHY: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    (
        (aiohttp.ClientConnectorCertificateError,),
        "its certificate is not trusted or names another host: check the CA file and the server name",
    ),
    (
        (aiohttp.ClientSSLError, ssl.SSLError),
        "the TLS handshake failed: check that it speaks TLS there, and the client certificate",
    ),
    ((aiohttp.ClientConnectorDNSError,), "its host name does not resolve: check the address"),
    ((aiohttp.ClientConnectorError,), "nothing accepts connections there: check that an agent runs"),
)
_CUT: Final = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientPayloadError,
    aiohttp.ClientOSError,
    ConnectionError,
)


def _translated(base: str, error: Exception) -> ConsulError:
    """Turn a foreign exception into a sentence. Its own text is left out: it may quote what was sent."""
    for kinds, why in _WHY:
        if isinstance(error, kinds):
            return Unreachable(f"Consul at {base} cannot be reached: {why}.")
    if isinstance(error, _CUT):
        return Cut(f"Consul at {base} ended the connection before the answer was whole: it is asked again.")
    return Unreachable(
        f"{base} does not answer in HTTP that can be read ({type(error).__name__}): "
        "check that the Consul address is that of an agent's HTTP API."
    )
