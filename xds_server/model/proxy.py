"""What this server needs to know of a proxy: who it says it is, and which group it is served as."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Proxies that are served the same resources.

    `admin_port` is the port of the proxies' own admin interface, as the generated bootstrap tells it in the
    node metadata; no endpoint may point at it. None where the node did not say.
    """

    admin_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One connected xDS client, as its first request introduced it: claims, not credentials."""

    id: str
    cluster: str = ""
    group: Group = Group()
