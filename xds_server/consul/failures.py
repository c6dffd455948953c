"""Foreign exceptions as errors of our own tree, and the sentences that both transports share.

The text of a foreign exception is left out, and it is not kept as the cause: it may quote what was sent.
"""

import socket
import ssl
from typing import Final

import aiohttp

from xds_server.consul.errors import ConsulError, Cut, Late, Unreachable, Unreadable

_WHY: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    (
        (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError),
        "its certificate is not trusted or names another host: check the CA file and the server name",
    ),
    (
        (aiohttp.ClientSSLError, ssl.SSLError),
        "the TLS handshake failed: check that it speaks TLS there, and the client certificate",
    ),
    (
        (aiohttp.ClientConnectorDNSError, socket.gaierror),
        "its host name does not resolve: check the address",
    ),
    ((aiohttp.ClientConnectorError,), "nothing accepts connections there: check that an agent runs"),
)
_CUT: Final = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientPayloadError,
    aiohttp.ClientOSError,
    ConnectionError,
)


def translated(base: str, error: BaseException) -> ConsulError:
    """Give the error for an exchange with the agent at `base` that ended with a foreign exception."""
    for kinds, why in _WHY:
        if isinstance(error, kinds):
            return Unreachable(f"Consul at {base} cannot be reached: {why}.")
    if isinstance(error, _CUT):
        return cut(base)
    return Unreachable(
        f"{base} does not answer in HTTP that can be read ({type(error).__name__}): "
        "check that the Consul address is that of an agent's HTTP API."
    )


def not_connected(base: str, error: BaseException) -> ConsulError:
    """Give the error for a connection to `base` that could not be made."""
    if isinstance(error, TimeoutError):
        return Unreachable(f"Consul at {base} cannot be reached: no connection was made in time.")
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return Unreachable(
            f"Consul at {base} ended the connection while it was made: it may allow no more of them from "
            "here (limits.http_max_conns_per_client)."
        )
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | socket.gaierror):
        return Unreachable(f"Consul at {base} cannot be reached: {_WHY[-1][1]}.")
    return translated(base, error)


def cut(base: str) -> Cut:
    """Give the error for a connection that ended, or fell silent, before the answer was whole."""
    return Cut(f"Consul at {base} ended the connection before the answer was whole: it is asked again.")


def late(base: str, path: str) -> Late:
    """Give the error for an answer that did not come in time."""
    return Late(f"{base} did not answer {path} in time: see whether it is overloaded.")


def too_long(path: str, most: int) -> Unreadable:
    """Give the error for a body of more than `most` bytes."""
    return Unreadable(f"Consul's answer to {path} is longer than {most} bytes: split that service up.")


def too_many_headers(path: str, most: int) -> Unreadable:
    """Give the error for an answer with more than `most` headers."""
    return Unreadable(
        f"Consul's answer to {path} has more than {most} headers: look at the proxy before Consul."
    )
