"""What can go wrong with Consul, in one tree.

    ConsulError             something is set up wrongly here: the address, a TLS file, the token file
    +- Unreachable          no whole answer: no connection, no TLS, no time left
    |  +- Cut               the connection ended before the answer was whole
    |  +- Late              the answer did not come in time
    +- Refused              an answer other than 200
    +- LoginFailed          the login for a token was answered with another status than 200
    +- Unreadable           an answer of 200 that is not what was asked for
    +- Doubted              an answer of 200 that would take things away without evidence

Nothing here is a bug; each sentence says what happened and what to do. No token is ever part of one.
"""

from typing import Final

from xds_server.consul.text import shown

_GRANT: Final = (
    'give the token a policy with `service_prefix "" { policy = "read" }` and '
    '`node_prefix "" { policy = "read" }`'
)
_ADVICE: Final = {
    301: "redirects are not followed; set the Consul address to where it leads",
    302: "redirects are not followed; set the Consul address to where it leads",
    307: "redirects are not followed; set the Consul address to where it leads",
    308: "redirects are not followed; set the Consul address to where it leads",
    401: "a proxy before Consul wants credentials; give them with CONSUL_HTTP_AUTH or consul.auth_file",
    403: _GRANT,
    404: "check that the Consul address, with its path prefix, is that of a Consul agent",
    429: "Consul limits the rate of queries; raise its limits or ask fewer agents",
    500: "it is asked again; if it goes on, look whether the Consul servers have a leader",
}
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


class ConsulError(Exception):
    """The base of the tree; raised as such where only the operator can mend it.

    `temporary` tells whether the error is Consul's as a whole and passes by itself, as an election does,
    rather than belonging to the one question that was asked.
    """

    temporary = False


class Unreachable(ConsulError):  # noqa: N818 - a state, said in one word
    """No whole answer came."""

    temporary = True


class Cut(Unreachable):
    """The connection ended early: write timeouts of agents and balancers do it to long polls."""


class Late(Unreachable):
    """Nothing came for far longer than an election takes."""


class Refused(ConsulError):  # noqa: N818 - a state, said in one word
    """Consul answered with a status other than 200; its index is never used (errors carry the index 1).

    `token_unknown` tells that Consul does not know the token: it expired, or was deleted.
    """

    def __init__(self, path: str, status: int, said: str, *, token_unknown: bool = False) -> None:
        words = f" {said}" if said else ""
        advice = _ADVICE.get(status) or _ADVICE.get(
            status // 100 * 100, "look into the log of the Consul agent"
        )
        super().__init__(f"Consul answered {status}{words} to {path}: {advice}.")
        self.status = status
        self.token_unknown = token_unknown

    @property
    def temporary(self) -> bool:  # type: ignore[override]
        """True for 5xx and 429: the next try may well succeed."""
        return self.status >= _SERVER_ERROR or self.status == _TOO_MANY_REQUESTS


class LoginFailed(ConsulError):  # noqa: N818 - a state, said in one word
    """Consul grants no token. No question is to blame for that, and the login is tried again."""

    temporary = True

    def __init__(self, auth_method: str, status: int, said: str) -> None:
        words = f" {said}" if said else ""
        super().__init__(
            f"Consul answered {status}{words} to the login by the auth method {shown(auth_method)}: check "
            "that it exists, that a binding rule fits, and that the bearer token file holds a valid token."
        )
        self.status = status


class Unreadable(ConsulError):  # noqa: N818 - a state, said in one word
    """The answer is not what was asked for, e.g. not JSON, or too long."""


class Doubted(ConsulError):  # noqa: N818 - a state, said in one word
    """The answer would take something away, and does not prove it (a 200 is no evidence of emptiness)."""


NO_SENTINEL: Final = (
    "Consul's list of services lacks its own service `consul`, so the token cannot see the catalog or the "
    f"agent lost it, and the last good catalog is kept: {_GRANT}."
)
FILTERED: Final = f"Consul's answer takes something away, but was filtered by ACLs: {_GRANT}."
NO_LEADER: Final = (
    "Consul's answer takes something away, but comes from a server that knows no leader: "
    "look at the Consul servers."
)
NO_INSTANCE: Final = (
    f"Consul lists the service but shows none of its instances, so the token may not read nodes: {_GRANT}."
)
