"""One exchange with Consul as values, and what every way to carry it promises.

`http1` and `http2` are the two ways. Neither follows redirects, takes a proxy from the environment, unpacks
what is compressed, or goes beyond the `Limits`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from yarl import URL

from xds_server.consul.address import socket_path

OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an exchange may take; sizes in bytes, times in seconds.

    `silence` is how long no byte may come, beyond the time for which Consul was asked to hold its answer;
    Consul itself waits 7 seconds for a leader before it says that there is none.
    `whole` bounds the answer as a whole in the same way, as a body of 1 byte a second must end too. Of an
    answer other than 200 `said` bytes are kept. Over HTTP/2 a connection that says nothing for `quiet`
    seconds is pinged, and given up if it still says nothing as long again.
    """

    connect: float = 5.0
    silence: float = 10.0
    whole: float = 120.0
    body: int = 64 * 2**20
    headers: int = 64
    said: int = 400
    quiet: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent. `held` is the number of seconds for which Consul may hold the answer back.

    `headers` and `body` may carry secrets, and are in no repr.
    """

    path: str
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    held: float = 0.0
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)

    @property
    def fields(self) -> Mapping[str, str]:
        """All headers that are sent: Consul would compress its answers for whoever does not refuse."""
        return {"Accept": "application/json", "Accept-Encoding": "identity", **self.headers}

    def url(self, base: str) -> URL:
        """Give the URL at an agent; the host of a unix socket is no host, but HTTP wants one."""
        root = "http://localhost" if socket_path(base) else base
        return URL(root + self.path, encoded=True).with_query(self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. The names of `headers` are in lower case; a body that is no answer of 200 is cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Carries requests to one agent, at most `capacity` at once; what goes beyond waits."""

    base: str

    @property
    def capacity(self) -> int:
        """How many requests may be under way at once."""

    async def send(self, request: Request) -> Reply:
        """Give the reply, whatever its status. Raises ConsulError, of which no text holds a secret."""

    async def close(self) -> None:
        """End all connections."""
