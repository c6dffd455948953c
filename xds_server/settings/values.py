"""What the settings come to: frozen values, complete, free of where and how they were written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from xds_server.guard import GuardOptions
from xds_server.model.policy import Policy
from xds_server.model.secret import SecretFiles, Token
from xds_server.runtime.debounce import Pace
from xds_server.runtime.vetting import Preflight
from xds_server.settings.addresses import ConsulAddress, host_port, is_loopback

CONSUL_DEFAULT: Final = ConsulAddress(url="http://127.0.0.1:8500", host="127.0.0.1", port=8500)
CONSUL_PORTS: Final = frozenset({8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulTls:
    """How TLS to Consul is done; without `ca_file` and `ca_path` the system's roots are trusted."""

    ca_file: Path | None = None
    ca_path: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulLogin:
    """How a token is got by login: the auth method, the file with what proves who we are, words to note."""

    auth_method: str
    bearer_token_file: Path
    meta: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulSettings:
    """How Consul is reached.

    Of the `addresses`, one at least, one is in use at a time, over at most so many `connections`.
    `token_file` wins over `token` while it is not empty, as with Consul's own clients; `login` stands alone.
    `basic_auth` is `USER:PASSWORD`. An empty `datacenter`, `namespace` or `partition` means the agent's own.

    How it is watched, in seconds: a query is held for `wait`, every service is read once in `sweep`; an
    answer may come from a server that heard of its leader `max_stale` ago, or have lain in the agent's
    cache for `max_age`; what is missing after the index went backwards is kept for `removal_hold`.

    With `config_entries` these are read too. The other `datacenters`, the nearest first, are watched as well;
    one out of reach is believed for `remote_keep` seconds. With `register` this server is a service there, at
    `advertise` or where it listens.
    """

    addresses: tuple[ConsulAddress, ...] = (CONSUL_DEFAULT,)
    connections: int = 100
    token: Token = field(default_factory=Token)
    token_file: Path | None = None
    login: ConsulLogin | None = None
    basic_auth: Token = field(default_factory=Token)
    auth_file: Path | None = None
    datacenter: str = ""
    namespace: str = ""
    partition: str = ""
    wait: float = 60.0
    requests_per_second: int = 100
    sweep: float = 600.0
    stale: bool = True
    max_stale: float = 10.0
    cached: bool = False
    max_age: float | None = None
    removal_hold: float = 300.0
    config_entries: bool = True
    datacenters: tuple[str, ...] = ()
    remote_keep: float = 120.0
    register: bool = True
    advertise: tuple[str, int] | None = None
    tls: ConsulTls = ConsulTls()

    @property
    def address(self) -> str:
        """The URLs of the addresses, with commas between them."""
        return ",".join(one.url for one in self.addresses)

    @property
    def is_local(self) -> bool:
        """Whether Consul runs on this machine: it is reached over loopback or unix sockets only."""
        return all(one.url.startswith("unix://") or is_loopback(one.host) for one in self.addresses)

    @property
    def ports(self) -> frozenset[int]:
        """The ports of the addresses."""
        return frozenset(one.port for one in self.addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """TLS of one of our own servers; with `client_ca_file` clients must show a certificate signed by it."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where one of our own servers listens; port 0 means any free port."""

    host: str
    port: int
    tls: ServerTls | None = None

    @property
    def address(self) -> str:
        """`HOST:PORT`, with brackets around an IPv6 address."""
        return host_port(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class XdsSettings(ServerSettings):
    """How the xDS server treats its clients; times in seconds, sizes in bytes.

    `match_node_id` asks that node.id is a name of the client's certificate. `max_streams` may be open at
    once, and so many of them from one address and with one certificate's names; a connection lives for about
    `max_connection_age`; at a stop streams are ended over `drain_time`; a request is at most
    `max_request_size`.
    """

    match_node_id: bool = False
    max_streams: int = 10_000
    max_streams_per_address: int = 5_000
    max_streams_per_identity: int = 5_000
    max_connection_age: float = 1800.0
    drain_time: float = 3.0
    max_request_size: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The arguments of `telemetry.configure_logging`."""

    level: str = "info"
    form: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings(ServerSettings):
    """The admin server listens on a unix socket, too, and there an operator may act.

    `socket` is a path, `off`, or `auto` for the place that `settings/admin_socket.py` chooses. Over TCP one
    may act with a certificate, or with the token in `token_file`.
    """

    socket: str = "auto"
    token_file: Path | None = None


XDS_DEFAULT: Final = XdsSettings(host="127.0.0.1", port=18000)
ADMIN_DEFAULT: Final = AdminSettings(host="127.0.0.1", port=18001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the operator decided. With `catalog_file` the catalog comes from there, not from Consul.

    With more than one of `workers` the streams are served by so many processes of their own.
    The last good state is kept in `state_dir`, and is used for `state_max_age` seconds.
    `preflight` says what becomes of what the Envoy binary `envoy` would not load.

    `origins` tells for each key path who gave its value: `flag --listen`, `environment CONSUL_HTTP_ADDR`,
    `file xds-server.yaml:12` or `default`; it does not take part in comparison.
    """

    consul: ConsulSettings = ConsulSettings()
    catalog_file: Path | None = None
    xds: XdsSettings = XDS_DEFAULT
    workers: int = 1
    admin: AdminSettings = ADMIN_DEFAULT
    log: LogSettings = LogSettings()
    secret_files: tuple[SecretFiles, ...] = ()
    state_dir: Path | None = None
    state_max_age: float = 604800.0
    preflight: Preflight = Preflight.OFF
    envoy: str = "envoy"
    guards: GuardOptions = field(default_factory=GuardOptions)
    pace: Pace = field(default_factory=Pace)
    policy: Policy = field(default_factory=Policy)
    file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    @property
    def own_ports(self) -> frozenset[int]:
        """The ports of Consul and of this server: no instance may have them unless the operator allows it."""
        return (CONSUL_PORTS | self.consul.ports | {self.xds.port, self.admin.port}) - {0}
