"""Where Consul is and how to speak to it, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from xds_server.consul.errors import ConsulError

_UNIX = "unix://"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulTls:
    """TLS towards Consul; files are PEM. `server_name` is what its certificate must carry, else the host.

    `ca_path` is a directory of PEM files; it counts where there is no `ca_file`. Without either the system's
    roots are trusted.
    """

    ca_file: Path | None = None
    ca_path: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulLogin:
    """How a token is got: https://developer.hashicorp.com/consul/api-docs/acl#login-to-auth-method .

    `bearer_token_file` holds what proves who we are, mostly a JWT; it is read at every login.
    """

    auth_method: str
    bearer_token_file: Path
    meta: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulAddress:
    """Where Consul is and how to speak to it.

    `url` is `http(s)://host:port`, with a path prefix if a proxy wants one, or `unix:///PATH`; without a
    scheme it is http. `others` are the addresses of further agents of the same cluster, tried in turn.

    The token is the one of `login`, else the content of `token_file`, re-read when the file changes, else
    `token`. `basic_auth` is `user:password` for a proxy before Consul, or the content of `auth_file`. An
    empty `datacenter`, `namespace` or `partition` is the agent's own, or the token's.
    """

    url: str = "http://127.0.0.1:8500"
    others: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    login: ConsulLogin | None = None
    basic_auth: str = field(default="", repr=False)
    auth_file: Path | None = None
    tls: ConsulTls = ConsulTls()
    datacenter: str = ""
    namespace: str = ""
    partition: str = ""

    @property
    def bases(self) -> tuple[str, ...]:
        """What paths are appended to, one for each address. Raises ConsulError if one cannot be used."""
        return tuple(dict.fromkeys(_base_url(url) for url in (self.url, *self.others)))


def socket_path(base: str) -> str:
    """Give the path of a unix socket, empty for an address of another kind."""
    return base[len(_UNIX) :] if base.startswith(_UNIX) else ""


def _base_url(url: str) -> str:
    if url.startswith(_UNIX + "/"):
        return url
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        sound = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        sound = False
    if not sound or parts.username or parts.password or parts.query or parts.fragment:
        raise ConsulError(
            "the Consul address is not usable: "
            "write it as http://host:port, https://host:port or unix:///path."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
