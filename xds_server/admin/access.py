"""Who may act over the admin server, rather than look: the peer of the unix socket, or who proves who he is.

A browser can be made to send requests to loopback by any page it shows. It cannot send JSON elsewhere
without asking first (Fetch Standard, CORS-safelisted request-header), it says where a page comes from
(`Origin`), and a name that was rebound to 127.0.0.1 is in `Host`: each of these is refused.
"""

import hmac
import os
import socket
import stat
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from xds_server.admin.socket import peer

SHORTEST_TOKEN: Final = 16
_LONGEST_TOKEN: Final = 4096
_BEARER: Final = "Bearer "


class DeniedError(Exception):
    """The request is refused: the HTTP status, a sentence for the client, and who it was."""

    def __init__(self, status: int, sentence: str, by: str) -> None:
        self.status = status
        self.by = by
        super().__init__(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How one may act over TCP: with a client's certificate where one is asked for, or with a token.

    `socket` is where the unix socket is, for sentences; empty where there is none.
    """

    certificates: bool = False
    token_file: Path | None = None
    socket: str = ""

    def caller(self, request: web.Request) -> str:
        """Say who sends a request that acts. Raises DeniedError for whoever may not."""
        connected: socket.socket | None = request.get_extra_info("socket")
        local = connected is not None and connected.family == socket.AF_UNIX
        by = peer(connected) if local and connected is not None else f"address {request.remote}"
        if "Origin" in request.headers:
            raise DeniedError(403, "a web page may not act here; use the xds-server commands", by)
        if request.content_type != "application/json":
            raise DeniedError(415, "the body has to be JSON, with `Content-Type: application/json`", by)
        if local:
            return by
        if not request.secure and not _is_address(request.host):
            raise DeniedError(403, f"ask for it by its address, not as {request.host[:100]!r}", by)
        return self._proven(request, by)

    def _proven(self, request: web.Request, by: str) -> str:
        certificate = request.get_extra_info("peercert")
        if self.certificates and certificate:
            return f"certificate {_name(certificate)}"
        given = request.headers.get("Authorization", "")
        if self.token_file is None or not given.startswith(_BEARER):
            raise DeniedError(403, self._advice(), by)
        if not request.secure and not _is_loopback(request.remote or ""):
            raise DeniedError(
                403, "the token crossed the network in clear: replace it, and set admin.tls", by
            )
        try:
            token = read_token(self.token_file)
        except TokenError as error:
            raise DeniedError(403, str(error), by) from None
        if not hmac.compare_digest(token, given.removeprefix(_BEARER).strip().encode()):
            raise DeniedError(403, "the token is not that of admin.token_file", by)
        return f"token from {request.remote}"

    def _advice(self) -> str:
        ways = []
        if self.socket:
            ways.append(f"use the unix socket {self.socket}")
        if self.token_file is not None:
            ways.append("send the token of admin.token_file")
        if self.certificates:
            ways.append("show a certificate")
        if not ways:
            ways.append("set admin.socket, admin.token_file or admin.tls.client_ca_file")
        return f"over TCP nobody may act without proving who he is: {', or '.join(ways)}"


class TokenError(Exception):
    """The token file cannot be used; the sentence says why, and never what is in it."""


def read_token(file: Path) -> bytes:
    """Give the token in a file. Raises TokenError where it is missing, short, or open to others."""
    try:
        # A FIFO must not make the server wait.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TokenError(f"admin.token_file {file} cannot be read ({error.strerror})") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise TokenError(f"admin.token_file {file} is not a file")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise TokenError(f"admin.token_file {file} is open to others; chmod 600 {file}")
        token = os.read(handle, _LONGEST_TOKEN).strip()
    finally:
        os.close(handle)
    if len(token) < SHORTEST_TOKEN:
        raise TokenError(f"the token in admin.token_file {file} has fewer than {SHORTEST_TOKEN} characters")
    return token


def _name(certificate: dict[str, Any]) -> str:
    """Give the first name in a certificate: the way `ssl.SSLSocket.getpeercert` has it."""
    for _, name in certificate.get("subjectAltName", ()):
        return str(name)
    for parts in certificate.get("subject", ()):
        for _, value in parts:
            return str(value)
    return "without a name"


def _is_address(host: str) -> bool:
    """Tell whether the Host header is an address or `localhost`, which no name server can move."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name.rstrip(".").lower() == "localhost":
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
