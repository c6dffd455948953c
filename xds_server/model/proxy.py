"""What this server needs to know of a client: who it says it is, and which group it is served as."""

from dataclasses import dataclass
from enum import StrEnum


class Client(StrEnum):
    """The kinds of xDS clients, which accept different resources."""

    ENVOY = "envoy"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Clients that are served the same resources.

    `admin_port` is the port of the proxies' own admin interface, as the generated bootstrap tells it in the
    node metadata; no endpoint may point at it. None where the node did not say. `on_demand` says whether the
    client can ask for what it needs when it needs it. `gateway` names the gateway service of Consul that the
    proxy is an instance of, whose listeners it gets then; empty for none. `static_clusters` are the clusters
    of the bootstrap, which no Host header may name; None where the node did not say.
    """

    client: Client = Client.ENVOY
    admin_port: int | None = None
    on_demand: bool = False
    gateway: str = ""
    static_clusters: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One connected xDS client, as its first request introduced it: claims, not credentials.

    `agent` is the software and its version, like `envoy 1.40.0`.
    """

    id: str
    cluster: str = ""
    agent: str = ""
    group: Group = Group()
